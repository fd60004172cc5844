"""Which tokenizer a checkpoint folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from mints.errors import MintsError
from mints.models.tokenizers.base import Tokenizer
from mints.models.tokenizers.bpe import BytePairTokenizer
from mints.models.tokenizers.files import read_vocabulary
from mints.models.tokenizers.kmer import FixedKmerTokenizer
from mints.models.tokenizers.overlapping import OverlappingKmerTokenizer
from mints.models.tokenizers.residue import AMINO_ACIDS, ResidueTokenizer


class Loader(Protocol):
    """Reads a tokenizer from a checkpoint folder."""

    def __call__(self, folder: Path, /) -> Tokenizer: ...


LOADERS: Mapping[str, Loader] = MappingProxyType(
    {
        "dnabert2": BytePairTokenizer.load,
        "nucleotide_transformer": FixedKmerTokenizer.load,
        "esm2": ResidueTokenizer.load,
        "bert": OverlappingKmerTokenizer.load,
    }
)
"""By checkpoint family."""


def load_tokenizer(folder: Path, family: str | None = None) -> Tokenizer:
    """The tokenizer of a checkpoint folder; without a family it is recognised by its files.

    Raises MintsError naming the file or the tokens that are missing.
    """
    if not folder.is_dir():
        raise MintsError(f"there is no checkpoint folder {folder}")
    return LOADERS[family or recognise(folder)](folder)


def recognise(folder: Path) -> str:
    """Family of the tokenizer files in a folder: told by the tokens of vocab.txt, else by tokenizer.json."""
    if not (folder / "vocab.txt").is_file():
        if (folder / "tokenizer.json").is_file():
            return "dnabert2"
        raise MintsError(f"checkpoint {folder} has no tokenizer: expected tokenizer.json or vocab.txt")
    vocabulary = set(read_vocabulary(folder))
    if "[CLS]" in vocabulary:
        return "bert"
    return "esm2" if set(AMINO_ACIDS) <= vocabulary else "nucleotide_transformer"
