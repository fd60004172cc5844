"""Letters to small numbers, for all sequences of a call at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

KMER_ORDER = "ATCG"
"""Order of the bases in which the Nucleotide Transformer's and DNABERT's vocabularies count their k-mers."""

NO_BASE = len(KMER_ORDER)


def _table(plain: bytes, default: bytes | None) -> bytes:
    """Translation to upper case; bytes outside `plain` become `default` if one is given."""
    upper = bytes(range(256)).upper()
    return upper if default is None else bytes(b if b in plain else default[0] for b in upper)


_DNA = _table(b"ACGT", b"N")
_PROTEIN = _table(b"", None)
_NUMBER = bytes(KMER_ORDER.index(chr(b)) if chr(b) in KMER_ORDER else NO_BASE for b in range(256))


def dna_letters(sequence: str) -> bytes:
    """The sequence in upper case with every letter outside ACGT as N; one byte a letter."""
    return sequence.encode("latin-1", "replace").translate(_DNA)


def protein_letters(sequence: str) -> bytes:
    """The sequence in upper case; one byte a letter."""
    return sequence.encode("latin-1", "replace").translate(_PROTEIN)


def base_numbers(sequences: Sequence[str]) -> UInt8[ndarray, "letter"]:
    """All sequences end to end, each base as its place in `KMER_ORDER`, anything else as `NO_BASE`."""
    joined = b"".join(dna_letters(sequence) for sequence in sequences)
    return np.frombuffer(joined.translate(_NUMBER), dtype=np.uint8)


def kmer_numbers(bases: UInt8[ndarray, "letter"], k: int) -> Int[ndarray, "letter"]:
    """Number of the k-mer that starts at each letter, read in base 4; -1 where it has other letters or an end."""
    numbers = np.full(len(bases), -1, dtype=np.int64)
    windows = max(0, len(bases) - k + 1)
    if windows:
        value = np.zeros(windows, dtype=np.int64)
        whole = np.ones(windows, dtype=bool)
        for offset in range(k):
            letter = bases[offset : offset + windows]
            value = 4 * value + letter
            whole &= letter != NO_BASE
        numbers[:windows] = np.where(whole, value, -1)
    return numbers
