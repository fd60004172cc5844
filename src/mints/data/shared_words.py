"""Sequences that are near copies of each other, by the words that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from mints.data.residues import RESIDUES, encode_residues
from mints.data.sequences import encode


class WordKind(NamedTuple):
    """Which words a kind of sequence is compared by. A word is one number, so that words are compared exactly."""

    encode: Callable[[str], UInt8[ndarray, "position"]]
    """Codes of a sequence: 0 up to `letters`, and `letters` itself for what has no letter."""

    letters: int
    bits: int
    """Bits of a letter in a word's number; bits · length is at most 64."""

    length: int
    """Letters of a word."""

    near: float
    """Sequences are near copies where they share more than this part of the words of the one that has fewer."""

    both_strands: bool = False
    """A word and its reverse complement are the same; the complement of a letter's code is `letters` - 1 - code."""


DNA_WORDS = WordKind(encode, letters=4, bits=2, length=32, near=0.5, both_strands=True)

RESIDUE_WORDS = WordKind(encode_residues, letters=len(RESIDUES), bits=5, length=5, near=0.1)
"""Of two proteins that are alike at 63% of their places, evenly spread, one word of five in ten is the same."""


def words(sequence: str, kind: WordKind = DNA_WORDS) -> Int[ndarray, "word"]:
    """The sequence's distinct words of known letters; of DNA each the smaller of itself and its reverse complement."""
    codes = kind.encode(sequence).astype(np.uint64)
    count = len(codes) - kind.length + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    letter, bits = np.uint64((1 << kind.bits) - 1), np.uint64(kind.bits)
    forward, backward = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    for place in range(kind.length):
        letters = codes[place : place + count]
        forward |= (letters & letter) << (bits * np.uint64(kind.length - 1 - place))
        backward |= ((np.uint64(kind.letters - 1) - letters) & letter) << (bits * np.uint64(place))
    unknown = np.convolve(codes == kind.letters, np.ones(kind.length), "valid") > 0
    numbers = np.minimum(forward, backward) if kind.both_strands else forward
    return np.unique(numbers[~unknown])


def shared(first: Sequence[str], second: Sequence[str], kind: WordKind = DNA_WORDS) -> Float[ndarray, "first second"]:
    """Part of the words of the poorer of two sequences that the other one has, for every pair; 0 without words."""
    pairs = _shared_pairs(first, second, kind)
    part = np.zeros(pairs.shape)
    part[pairs.coords] = pairs.data
    return part


def near_copies(first: Sequence[str], second: Sequence[str], kind: WordKind = DNA_WORDS) -> Bool[ndarray, "second"]:
    """Which of the second sequences have more than `kind.near` of their words in the first ones, taken together."""
    # The largest number is no word: it would be T's alone, of which A's are the smaller strand, or no residue's.
    beyond = np.full(1, np.iinfo(np.uint64).max, dtype=np.uint64)
    known = np.unique(np.concatenate([*(words(sequence, kind) for sequence in first), beyond]))
    own = [words(sequence, kind) for sequence in second]
    there = [known[np.searchsorted(known[:-1], each)] == each for each in own]
    return np.array([len(each) > 0 and each.mean() > kind.near for each in there], dtype=bool)


def near_copy_clusters(sequences: Sequence[str], kind: WordKind = DNA_WORDS) -> Int[ndarray, "sequence"]:
    """Cluster of each sequence: near copies, and near copies of those, are one."""
    pairs = _shared_pairs(sequences, sequences, kind)
    near = pairs.data > kind.near
    edges = coo_array((np.ones(near.sum(), dtype=np.int8), tuple(c[near] for c in pairs.coords)), shape=pairs.shape)
    clusters: Int[ndarray, "sequence"] = connected_components(edges, directed=False)[1].astype(np.int64)
    return clusters


def _shared_pairs(first: Sequence[str], second: Sequence[str], kind: WordKind) -> coo_array[Any, tuple[int, int]]:
    """As `shared`, without the pairs that share nothing, which of thousands of sequences are nearly all."""
    own, other = [words(sequence, kind) for sequence in first], [words(sequence, kind) for sequence in second]
    known = np.unique(np.concatenate([*own, *other, np.zeros(0, dtype=np.uint64)]))
    pairs = coo_array(_occurrence(own, known) @ _occurrence(other, known).T)
    row, column = pairs.coords
    fewer = np.minimum(np.array([*map(len, own)])[row], np.array([*map(len, other)])[column])
    return coo_array((pairs.data / fewer, pairs.coords), shape=pairs.shape)


def _occurrence(listed: list[ndarray], known: ndarray) -> csr_array[Any, tuple[int, int]]:
    offsets = np.cumsum([0, *map(len, listed)])
    column = np.searchsorted(known, np.concatenate([*listed, np.zeros(0, dtype=np.uint64)]))
    entries = np.ones(len(column), dtype=np.int32)
    return csr_array((entries, column, offsets), shape=(len(listed), len(known)))
