"""ESM-2's tokenizer: one token per amino acid (Lin et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from mints.errors import MintsError
from mints.models.tokenizers.base import Encoding, Roles, Tokenizer
from mints.models.tokenizers.files import read_max_tokens, read_vocabulary, write_vocabulary
from mints.models.tokenizers.letters import protein_letters

AMINO_ACIDS = "LAGVSERTIDPKQNFYMHWC"
"""The twenty, by frequency, as ESM-2 counts them."""

AMBIGUOUS = "XBUZO.-"
"""Unknown, ambiguous and rare residues, and gaps."""

VOCABULARY = ("<cls>", "<pad>", "<eos>", "<unk>", *AMINO_ACIDS, *AMBIGUOUS, "<null_1>", "<mask>")


class ResidueTokenizer(Tokenizer):
    """`<cls>`, one token per residue, `<eos>`. A letter that is none is one `<unk>`."""

    letters = AMINO_ACIDS

    def __init__(self, vocabulary: Sequence[str], max_tokens: int | None = None) -> None:
        unused = tuple(token for token in ("<null_1>",) if token in vocabulary)
        roles = Roles("<pad>", "<mask>", "<unk>", before=("<cls>",), after=("<eos>",), unused=unused)
        super().__init__(vocabulary, roles, max_tokens)
        absent = [residue for residue in AMINO_ACIDS if residue not in self.id_of]
        if absent:
            raise MintsError(f"the vocabulary has no {', '.join(absent[:4])}: not one of residues")
        self._ids = np.array([self.id_of.get(chr(byte), self.unknown_id) for byte in range(256)], dtype=np.int64)

    @classmethod
    def generate(cls) -> Self:
        """The official vocabulary of 33 tokens."""
        return cls(VOCABULARY)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From the vocab.txt of a checkpoint folder."""
        try:
            return cls(read_vocabulary(folder), read_max_tokens(folder))
        except MintsError as error:
            raise MintsError(f"tokenizer of {folder}: {error}") from None

    def encode_many(self, sequences: Sequence[str]) -> list[Encoding]:
        encodings = []
        for sequence in sequences:
            ids = self._ids[np.frombuffer(protein_letters(sequence), dtype=np.uint8)]
            starts = np.arange(len(ids))
            encodings.append(self._framed(ids, np.column_stack([starts, starts + 1]), len(ids)))
        return encodings

    def save(self, folder: Path) -> None:
        special = {f"{role}_token": f"<{role}>" for role in ("cls", "eos", "mask", "pad", "unk")}
        configuration = {"model_max_length": self.max_tokens, "tokenizer_class": "EsmTokenizer", **special}
        write_vocabulary(folder, self.vocabulary, configuration, special)
