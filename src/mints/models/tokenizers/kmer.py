"""The Nucleotide Transformer's tokenizer: non-overlapping k-mers (Dalla-Torre et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from mints.errors import MintsError
from mints.models.tokenizers.base import Encoding, Roles, Tokenizer
from mints.models.tokenizers.files import all_kmers, read_json, read_max_tokens, read_vocabulary, write_vocabulary
from mints.models.tokenizers.letters import KMER_ORDER, NO_BASE, base_numbers, kmer_numbers

SPECIAL = ("<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>")
OFFICIAL_MAX_TOKENS = 2048


class FixedKmerTokenizer(Tokenizer):
    """`<cls>`, then k-mers from left to right; single letters where no k-mer fits. There is no `<eos>`.

    The official rule is greedy: take k bases where the next k letters are bases, else one letter. So an N, and what is
    left before it or before the end of the sequence, is read letter by letter, and an N shifts the frame behind it.
    """

    letters = KMER_ORDER

    def __init__(self, vocabulary: Sequence[str], max_tokens: int | None = OFFICIAL_MAX_TOKENS) -> None:
        """`k` is the length of the longest token made of bases alone."""
        # The vocabulary of Nucleotide Transformer v1 has neither of the two.
        unused = tuple(token for token in ("<eos>", "<bos>") if token in vocabulary)
        roles = Roles("<pad>", "<mask>", "<unk>", before=("<cls>",), after=(), unused=unused)
        super().__init__(vocabulary, roles, max_tokens)
        self.k = max((len(self.vocabulary[index]) for index in self.maskable_ids), default=1)
        kmers = all_kmers(self.k)
        absent = [token for token in (*kmers, *KMER_ORDER, "N") if token not in self.id_of]
        if absent:
            raise MintsError(f"the vocabulary has no {', '.join(absent[:4])}: not one of fixed k-mers")
        self._kmer_ids = np.array([self.id_of[kmer] for kmer in kmers], dtype=np.int64)
        self._letter_ids = np.array([self.id_of[letter] for letter in (*KMER_ORDER, "N")], dtype=np.int64)

    @classmethod
    def generate(cls, k: int = 6) -> Self:
        """The official vocabulary, which is a rule: special tokens, all k-mers, then A T C G N."""
        return cls([*SPECIAL, *(all_kmers(k) if k > 1 else []), *KMER_ORDER, "N"])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From the vocab.txt of a checkpoint folder; without one, by the `kmer_length` of tokenizer_config.json.

        The vocabulary is a rule, so that a checkpoint of ours need not carry it.
        """
        settings = folder / "tokenizer_config.json"
        if not (folder / "vocab.txt").is_file() and settings.is_file():
            length = read_json(settings).get("kmer_length")
            if isinstance(length, int):
                return cls.generate(length)
        try:
            return cls(read_vocabulary(folder), read_max_tokens(folder))
        except MintsError as error:
            raise MintsError(f"tokenizer of {folder}: {error}") from None

    def encode_many(self, sequences: Sequence[str]) -> list[Encoding]:
        offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)])
        bases = base_numbers(sequences)
        starts, widths = cut(bases, offsets, self.k)
        numbers = kmer_numbers(bases, self.k)[starts]
        is_kmer = (widths == self.k) & (numbers >= 0)
        ids = np.where(is_kmer, self._kmer_ids[numbers], self._letter_ids[bases[starts]])
        spans = np.column_stack([starts, starts + widths])
        edges = np.searchsorted(starts, offsets)
        return [
            self._framed(ids[first:last], spans[first:last] - offset, end - offset)
            for first, last, offset, end in zip(edges[:-1], edges[1:], offsets[:-1], offsets[1:], strict=True)
        ]

    def save(self, folder: Path) -> None:
        configuration = {
            "clean_up_tokenization_spaces": True,
            "eos_token": None,
            "model_max_length": self.max_tokens,
            "tokenizer_class": "EsmTokenizer",
        }
        special = {"cls_token": "<cls>", "mask_token": "<mask>", "pad_token": "<pad>", "unk_token": "<unk>"}
        write_vocabulary(folder, self.vocabulary, configuration, special)


class Cuts(NamedTuple):
    """Where tokens lie in sequences that are written end to end."""

    starts: Int[ndarray, "token"]
    widths: Int[ndarray, "token"]


def cut(bases: UInt8[ndarray, "letter"], offsets: Int[ndarray, "edge"], k: int) -> Cuts:
    """Where the greedy rule cuts sequences that are written end to end; sequence i is offsets[i] to offsets[i + 1].

    A run of n bases, ended by another letter or by the end of its sequence, gives n // k k-mers and then n % k letters.
    """
    is_base = bases != NO_BASE
    opens_run = ~is_base
    opens_run[1:] |= ~is_base[:-1]
    opens_run[offsets[offsets < len(bases)]] = True
    run_starts = np.flatnonzero(opens_run)
    run = np.cumsum(opens_run) - 1
    within = np.arange(len(bases)) - run_starts[run]
    in_kmers = np.diff(run_starts, append=len(bases))[run] // k * k
    in_kmers[~is_base] = 0
    starts = np.flatnonzero((within >= in_kmers) | (within % k == 0))
    return Cuts(starts, np.where(within < in_kmers, k, 1)[starts])
