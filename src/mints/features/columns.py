"""What is scored against concepts: latents and every baseline, as columns over tokens that a scorer takes in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import csc_array, csr_array

from mints.features.activations import Tokens
from mints.features.concepts import Matrix
from mints.features.exact_thresholds import Ranked, rank_dense, rank_sparse

BLOCK = 1 << 21
"""Entries of dense columns that are ranked at a time."""

WORDS = (3, 4, 5, 6)
"""Lengths of the words of bases whose identity is a baseline."""


class Block(NamedTuple):
    """Some columns that follow one another."""

    first: int
    ranked: Ranked


class Columns(Protocol):
    """Values of tokens in columns."""

    @property
    def width(self) -> int:
        """Number of columns."""
        ...

    def blocks(self) -> Iterator[Block]:
        """All columns, ranked, some at a time."""
        ...

    def take(self, columns: Int[ndarray, "chosen"]) -> Float[ndarray, "token chosen"]:
        """Values of some columns."""
        ...


class SparseColumns:
    """Columns of a sparse matrix without negative entries: latents, or the identity of words."""

    def __init__(self, matrix: Matrix) -> None:
        self._by_column = csc_array(matrix)
        self.width = int(matrix.shape[1])

    @cached_property
    def ranked(self) -> Ranked:
        """All columns."""
        return rank_sparse(csr_array(self._by_column))

    def blocks(self) -> Iterator[Block]:
        """One block, which is kept: there are few entries, and a null asks for them again and again."""
        yield Block(0, self.ranked)

    def take(self, columns: Int[ndarray, "chosen"]) -> Float[ndarray, "token chosen"]:
        """Values, zeros included."""
        return self._by_column[:, columns].toarray()


class DenseColumns:
    """Activations along directions, each with either sign where asked for: column c + n is column c turned round."""

    def __init__(
        self,
        activations: Float[ndarray, "token d"],
        directions: Float[ndarray, "d direction"] | None = None,
        *,
        both_signs: bool = True,
    ) -> None:
        """directions: default the dimensions themselves."""
        self._activations, self._directions = activations, directions
        self._count = activations.shape[1] if directions is None else directions.shape[1]
        self.width = 2 * self._count if both_signs else self._count

    def blocks(self) -> Iterator[Block]:
        """As many columns at a time as have `BLOCK` entries, and at least one."""
        step = max(1, BLOCK // max(1, len(self._activations)))
        for first in range(0, self.width, step):
            yield Block(first, rank_dense(self.take(np.arange(first, min(first + step, self.width)))))

    def take(self, columns: Int[ndarray, "chosen"]) -> Float[ndarray, "token chosen"]:
        """Values of some columns."""
        which, sign = columns % self._count, np.where(columns < self._count, 1, -1).astype(np.float32)
        if self._directions is None:
            return np.asarray(self._activations[:, which] * sign)
        values: Float[ndarray, "token chosen"] = self._activations @ (self._directions[:, which] * sign)
        return values


def principal_directions(activations: Float[ndarray, "token d"]) -> Float[ndarray, "d component"]:
    """Principal components, the strongest first, from the covariance in float64."""
    centred = activations.astype(np.float64) - activations.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return vectors[:, ::-1].astype(np.float32)


def token_identity(tokens: Tokens, vocabulary: int) -> Matrix:
    """1 in the column of a token's id."""
    at = (np.arange(len(tokens.ids)), tokens.ids)
    return csr_array((np.ones(len(tokens.ids), dtype=np.float32), at), shape=(len(tokens.ids), vocabulary))


def word_identity(
    tokens: Tokens, sequences: Sequence[str], alphabet: str = "ACGT", lengths: Sequence[int] = WORDS
) -> Matrix:
    """1 in the column of the word at a token's middle, for each length; none where it is cut or has another letter."""
    rows, columns, offset = [], [], 0
    length = np.array([len(sequence) for sequence in sequences])[tokens.sequence]
    begin = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])[tokens.sequence]
    letters = np.frombuffer("".join(sequences).encode("ascii"), dtype=np.uint8)
    codes = np.full(256, -1)
    codes[list(alphabet.encode("ascii"))] = range(len(alphabet))
    codes = codes[letters]
    for k in lengths:
        start = (tokens.start + tokens.end - k) // 2
        inside = np.flatnonzero((start >= 0) & (start + k <= length))
        read = codes[(begin + start)[inside, None] + np.arange(k)]
        known = (read >= 0).all(axis=1)
        rows.append(inside[known])
        columns.append(offset + read[known] @ len(alphabet) ** np.arange(k)[::-1])
        offset += len(alphabet) ** k
    at = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.ones(len(at[0]), dtype=np.float32), at), shape=(len(tokens.ids), offset))
