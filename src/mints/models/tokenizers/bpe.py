"""DNABERT-2's tokenizer: byte-pair encoding of DNA (Zhou et al. 2023), read from and written to tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import tokenizers as fast
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from mints.errors import MintsError
from mints.models.tokenizers.base import Encoding, Roles, Tokenizer
from mints.models.tokenizers.files import read_json, read_max_tokens
from mints.models.tokenizers.letters import dna_letters

SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
"""Ids 0 to 4, as in DNABERT-2; A, C, G, T follow as 5 to 8 and merge k makes id 9 + k."""

CONFIGURATION = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}


class BytePairTokenizer(Tokenizer):
    """[CLS], pieces merged in the order that training learnt, [SEP]. Every N is an [UNK] of one base."""

    letters = "ACGT"

    def __init__(self, backend: fast.Tokenizer, max_tokens: int | None = None) -> None:
        ids = backend.get_vocab(with_added_tokens=True)
        roles = Roles("[PAD]", "[MASK]", "[UNK]", before=("[CLS]",), after=("[SEP]",))
        super().__init__(sorted(ids, key=lambda token: ids[token]), roles, max_tokens)
        absent = [base for base in self.letters if base not in ids]
        if absent:
            raise MintsError(f"the vocabulary has no token for {', '.join(absent)}")
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._widths = np.array([len(token) for token in self.vocabulary], dtype=np.int64)
        self._widths[self.unknown_id] = 1

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From the tokenizer.json of a checkpoint folder."""
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise MintsError(f"checkpoint {folder} has no tokenizer.json, which holds its tokenizer")
        model = read_json(path).get("model")
        if not isinstance(model, dict) or model.get("type") != "BPE" or model.get("fuse_unk"):
            raise MintsError(f"{path} is not a byte-pair encoding of DNABERT-2's kind")
        try:
            return cls(fast.Tokenizer.from_file(str(path)), read_max_tokens(folder))
        except MintsError as error:
            raise MintsError(f"{path}: {error}") from None
        except Exception as error:  # the library raises nothing more precise
            raise MintsError(f"{path} cannot be read as a tokenizer: {error}") from None

    def encode_many(self, sequences: Sequence[str]) -> list[Encoding]:
        texts = [dna_letters(sequence).decode("ascii") for sequence in sequences]
        encodings = []
        for encoded, text in zip(self._backend.encode_batch_fast(texts, add_special_tokens=False), texts, strict=True):
            ids = np.array(encoded.ids, dtype=np.int64)
            ends = np.cumsum(self._widths[ids])
            spans = np.column_stack([ends - self._widths[ids], ends])
            encodings.append(self._framed(ids, spans, len(text)))
        return encodings

    def save(self, folder: Path) -> None:
        self._backend.save(str(folder / "tokenizer.json"), pretty=True)
        # One line without an end: byte for byte what the official checkpoint has.
        (folder / "tokenizer_config.json").write_text(json.dumps(CONFIGURATION), encoding="utf-8", newline="\n")


def train_bpe(sequences: Iterable[str], vocabulary_size: int) -> BytePairTokenizer:
    """Byte-pair encoding of `vocabulary_size` tokens (fewer where the sequences have no pairs left to merge).

    No merge crosses an N or the end of a sequence. The same sequences give the same tokenizer. Give pieces of some
    hundred bases: time grows fast with the longest stretch. Raises ValueError where there is no room for the bases.
    """
    smallest = len(SPECIAL) + len(BytePairTokenizer.letters)
    if vocabulary_size < smallest:
        raise ValueError(f"a vocabulary of {vocabulary_size} has no room for {smallest} special tokens and bases")
    backend = fast.Tokenizer(BPE(unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, SPECIAL.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=list(BytePairTokenizer.letters),
        show_progress=False,
    )
    # The trainer never merges across white space.
    stretches = (dna_letters(sequence).decode("ascii").replace("N", " ") for sequence in sequences)
    backend.train_from_iterator(stretches, trainer)
    return BytePairTokenizer(backend)
