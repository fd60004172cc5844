"""DNABERT's tokenizer: overlapping k-mers, one for every base but the last k − 1 (Ji et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from mints.errors import MintsError
from mints.models.tokenizers.base import Encoding, Roles, Tokenizer
from mints.models.tokenizers.files import all_kmers, read_max_tokens, read_vocabulary, write_vocabulary
from mints.models.tokenizers.letters import KMER_ORDER, base_numbers, kmer_numbers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OFFICIAL_MAX_TOKENS = 512


class OverlappingKmerTokenizer(Tokenizer):
    """[CLS], the k-mer that starts at each base, [SEP].

    Spans overlap by nature: token i stands for bases i to i + k, so every base but the outermost lies in k tokens, and
    a masked token can be read off its neighbours. A k-mer with an N is [UNK]; so is a sequence shorter than k, as a
    whole.
    """

    letters = KMER_ORDER

    def __init__(self, vocabulary: Sequence[str], max_tokens: int | None = OFFICIAL_MAX_TOKENS) -> None:
        """`k` is the length of the tokens made of bases."""
        roles = Roles("[PAD]", "[MASK]", "[UNK]", before=("[CLS]",), after=("[SEP]",))
        super().__init__(vocabulary, roles, max_tokens)
        self.k = max((len(self.vocabulary[index]) for index in self.maskable_ids), default=0)
        kmers = all_kmers(self.k)
        absent = [token for token in kmers if token not in self.id_of]
        if self.k == 0 or absent:
            raise MintsError(f"the vocabulary has no {', '.join(absent[:4])}: not one of overlapping k-mers")
        # The last entry serves number -1: a k-mer that has other letters than bases.
        self._kmer_ids = np.array([*(self.id_of[token] for token in kmers), self.unknown_id], dtype=np.int64)

    @classmethod
    def generate(cls, k: int = 6) -> Self:
        """The official vocabulary, which is a rule: special tokens, then all k-mers."""
        return cls([*SPECIAL, *all_kmers(k)])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From the vocab.txt of a checkpoint folder."""
        try:
            return cls(read_vocabulary(folder), read_max_tokens(folder))
        except MintsError as error:
            raise MintsError(f"tokenizer of {folder}: {error}") from None

    def encode_many(self, sequences: Sequence[str]) -> list[Encoding]:
        ids = self._kmer_ids[kmer_numbers(base_numbers(sequences), self.k)]
        encodings, offset = [], 0
        for sequence in sequences:
            length = len(sequence)
            count = max(length - self.k + 1, min(length, 1))
            content = ids[offset : offset + count] if length >= self.k else np.full(count, self.unknown_id)
            starts = np.arange(count)
            spans = np.column_stack([starts, np.minimum(starts + self.k, length)])
            encodings.append(self._framed(content, spans, length))
            offset += length
        return encodings

    def save(self, folder: Path) -> None:
        configuration = {
            "do_lower_case": False,
            "model_max_length": self.max_tokens,
            "tokenizer_class": "BertTokenizer",
        }
        special = {f"{role}_token": f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask")}
        write_vocabulary(folder, self.vocabulary, configuration, special)
