"""What a latent looks like: how often and how strongly it is active, and the sequences in which it is most so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import csc_array

from mints.features.activations import Tokens
from mints.features.concepts import Matrix

BINS = 24
"""Bars of a histogram, from 0 to the largest activation."""

MASK_PERCENTILE, MASK_REL_TO_MAX = 90, 0.5
"""A letter belongs to a latent's segments from the larger of this percentile of the sequence's activations, letter by
letter, and this share of their maximum: the rule of the published viewer."""


class Portrait(NamedTuple):
    """One latent over many tokens."""

    latent: int
    density: float
    """Share of the tokens on which it is active."""

    sequences: float
    """Share of the sequences in which it is active at all."""

    largest: float
    mean: float
    """Over the tokens on which it is active; NaN where there is none."""

    edges: Float[ndarray, "edge"]
    counts: Int[ndarray, "bin"]
    """Histogram of the activations above 0; empty where there is none."""


class Example(NamedTuple):
    """A sequence in which a latent is active."""

    kind: str
    """top: among the largest maxima; typical: nearest to the median of the maxima."""

    sequence: int
    active: list[tuple[int, int, float]]
    """Start and end (half-open letters) of every token on which it is active, and its activation."""

    threshold: float
    """From which a letter belongs to the latent's segments."""


class Latents:
    """Active latents of the tokens of some sequences, latent by latent."""

    def __init__(self, matrix: Matrix, tokens: Tokens, lengths: Sequence[int]) -> None:
        """matrix: one row a token, in the order of `tokens`. lengths: letters of every sequence."""
        self._columns, self._tokens, self._lengths = csc_array(matrix), tokens, list(lengths)
        self._columns.sort_indices()

    def frequency(self) -> Float[ndarray, "latent"]:
        """Share of the tokens on which each latent is active."""
        share: Float[ndarray, "latent"] = np.diff(self._columns.indptr) / max(len(self._tokens.ids), 1)
        return share

    def portrait(self, latent: int) -> Portrait:
        """Density and histogram of one latent."""
        rows, values = self._entries(latent)
        if not len(values):
            return Portrait(latent, 0.0, 0.0, 0.0, np.nan, np.zeros(0), np.zeros(0, dtype=np.int64))
        counts, edges = np.histogram(values, bins=BINS, range=(0.0, float(values.max())))
        of_sequences = len(np.unique(self._tokens.sequence[rows])) / max(len(self._lengths), 1)
        density = len(values) / len(self._tokens.ids)
        return Portrait(latent, density, of_sequences, float(values.max()), float(values.mean()), edges, counts)

    def examples(self, latent: int, top: int, typical: int) -> list[Example]:
        """Sequences of the largest maxima, and those around the median of the maxima; none twice."""
        rows, values = self._entries(latent)
        sequence = self._tokens.sequence[rows]
        largest = np.zeros(len(self._lengths))
        np.maximum.at(largest, sequence, values)
        order = np.argsort(-largest, kind="stable")[: np.count_nonzero(largest)]
        chosen = [("top", int(one)) for one in order[:top]]
        rest = order[top:]
        middle = np.argsort(np.abs(np.arange(len(order))[top:] - (len(order) - 1) / 2), kind="stable")[:typical]
        chosen += [("typical", int(one)) for one in rest[middle]]
        return [self._example(kind, one, rows[sequence == one], values[sequence == one]) for kind, one in chosen]

    def _example(
        self, kind: str, sequence: int, rows: Int[ndarray, "entry"], values: Float[ndarray, "entry"]
    ) -> Example:
        starts, ends = self._tokens.start[rows], self._tokens.end[rows]
        track = np.zeros(self._lengths[sequence])
        for start, end, value in zip(starts, ends, values, strict=True):
            track[start:end] = value
        threshold = max(float(np.percentile(track, MASK_PERCENTILE)), MASK_REL_TO_MAX * float(track.max()))
        active = [(int(s), int(e), float(v)) for s, e, v in zip(starts, ends, values, strict=True)]
        return Example(kind, sequence, active, threshold)

    def _entries(self, latent: int) -> tuple[Int[ndarray, "entry"], Float[ndarray, "entry"]]:
        """Tokens on which the latent is active, and its values there."""
        first, last = self._columns.indptr[latent : latent + 2]
        return self._columns.indices[first:last], self._columns.data[first:last].astype(float)


def choose(wanted: Mapping[str, Sequence[int]], most: int) -> dict[int, list[str]]:
    """Latents that are shown, each with the rules that name it, in turn from every rule until there are `most`.

    wanted: latents of each rule, the first of them first. Those are in ascending order that are given back.
    """
    named: dict[int, list[str]] = {}
    longest = max(map(len, wanted.values()), default=0)
    in_turn = [latents[place] for place in range(longest) for latents in wanted.values() if place < len(latents)]
    kept = sorted(list(dict.fromkeys(in_turn))[:most])
    for latent in kept:
        named[latent] = [rule for rule, latents in wanted.items() if latent in latents]
    return named
