"""Sequences that are near copies of each other, by the words that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import csr_array, csr_matrix
from scipy.sparse.csgraph import connected_components

from mints.data.sequences import encode

WORD = 32
"""Bases of a word; two of them in four bits, so that a word is one number and is compared exactly."""

NEAR = 0.5
"""Sequences are near copies where they share more than this part of the words of the one that has fewer."""


def words(sequence: str) -> Int[ndarray, "word"]:
    """The sequence's distinct words without N, each the smaller of itself and its reverse complement."""
    codes = encode(sequence).astype(np.uint64)
    count = len(codes) - WORD + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    forward, backward = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    for place in range(WORD):
        letters = codes[place : place + count]
        forward |= (letters & np.uint64(3)) << np.uint64(2 * (WORD - 1 - place))
        backward |= ((np.uint64(3) - letters) & np.uint64(3)) << np.uint64(2 * place)
    unknown = np.convolve(codes == 4, np.ones(WORD), "valid") > 0
    return np.unique(np.minimum(forward, backward)[~unknown])


def shared(first: Sequence[str], second: Sequence[str]) -> Float[ndarray, "first second"]:
    """Part of the words of the poorer of two sequences that the other one has, for every pair; 0 without words."""
    own, other = [words(sequence) for sequence in first], [words(sequence) for sequence in second]
    known = np.unique(np.concatenate([*own, *other, np.zeros(0, dtype=np.uint64)]))
    common = (_occurrence(own, known) @ _occurrence(other, known).T).toarray()
    fewer = np.minimum.outer([len(each) for each in own], [len(each) for each in other])
    part: Float[ndarray, "first second"] = common / np.maximum(fewer, 1)
    return part


def near_copies(first: Sequence[str], second: Sequence[str]) -> Bool[ndarray, "second"]:
    """Which of the second sequences have more than `NEAR` of their words in the first ones, taken together."""
    # The largest number is no word: it would be T's alone, of which A's are the smaller strand.
    beyond = np.full(1, np.iinfo(np.uint64).max, dtype=np.uint64)
    known = np.unique(np.concatenate([*map(words, first), beyond]))
    own = [words(sequence) for sequence in second]
    there = [known[np.searchsorted(known[:-1], each)] == each for each in own]
    return np.array([len(each) > 0 and each.mean() > NEAR for each in there], dtype=bool)


def near_copy_clusters(sequences: Sequence[str]) -> Int[ndarray, "sequence"]:
    """Cluster of each sequence: near copies, and near copies of those, are one."""
    alike = (shared(sequences, sequences) > NEAR).astype(np.int8)
    clusters: Int[ndarray, "sequence"] = connected_components(csr_matrix(alike), directed=False)[1].astype(np.int64)
    return clusters


def _occurrence(listed: list[ndarray], known: ndarray) -> csr_array[Any, tuple[int, int]]:
    offsets = np.cumsum([0, *map(len, listed)])
    column = np.searchsorted(known, np.concatenate([*listed, np.zeros(0, dtype=np.uint64)]))
    entries = np.ones(len(column), dtype=np.int32)
    return csr_array((entries, column, offsets), shape=(len(listed), len(known)))
