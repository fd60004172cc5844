"""Exact counts of every column × concept pair at every threshold at which a count changes.

A token is called by a column where its value reaches the threshold. Counts change only where the threshold passes a
value that occurs, and F1 can be largest only where it passes the value of a token that carries the concept. So the
entries of each column are sorted once, largest first; the concept's tokens among them, in that order, have
tp = 1, 2, 3, …, and at each of them the number of called tokens is the rank of its value. One gathering of the labels
gives all of it, for all pairs: the work is that of the active entries on labelled tokens and not of
columns × thresholds × tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import csc_array

from mints.features.concepts import ConceptLabels, Matrix


class Ranked(NamedTuple):
    """Entries of some columns, column by column, each sorted from its largest value down; what is absent is zero."""

    token: Int[ndarray, "entry"]
    column: Int[ndarray, "entry"]
    value: Float[ndarray, "entry"]
    before: Int[ndarray, "entry"]
    """Entries of the column with a larger value."""

    reach: Int[ndarray, "entry"]
    """Entries of the column with this value or a larger one."""

    offsets: Int[ndarray, "column+1"]
    tokens: int
    """Tokens that there are, with and without an entry."""

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.offsets) - 1


class PairCounts(NamedTuple):
    """What each column calls at one threshold per concept."""

    true_positives: Int[ndarray, "column concept"]
    called: Int[ndarray, "column concept"]
    positives: Int[ndarray, "concept"]

    @property
    def f1(self) -> Float[ndarray, "column concept"]:
        """F1 = 2 tp / (called + positives); NaN for a concept that does not occur."""
        below = self.called + self.positives
        f1 = np.full(below.shape, np.nan)
        np.divide(2.0 * self.true_positives, below, out=f1, where=self.positives > 0)
        return f1

    @property
    def precision(self) -> Float[ndarray, "column concept"]:
        """True positives over called tokens; 0 where nothing is called."""
        precision: Float[ndarray, "column concept"] = self.true_positives / np.maximum(self.called, 1)
        return precision

    @property
    def recall(self) -> Float[ndarray, "column concept"]:
        """True positives over the concept's tokens; NaN for a concept that does not occur."""
        recall = np.full(self.true_positives.shape, np.nan)
        np.divide(self.true_positives, self.positives, out=recall, where=self.positives > 0)
        return recall


class Best(NamedTuple):
    """The threshold of the largest F1 of each pair, and the counts there; the highest of several such thresholds."""

    threshold: Float[ndarray, "column concept"]
    """A value that occurs; infinite where no token of the concept has an entry in the column."""

    counts: PairCounts


class RankMetrics(NamedTuple):
    """Figures that need no threshold; NaN where a concept does not occur, or nothing else does."""

    auroc: Float[ndarray, "column concept"]
    """Ties count half; tokens without an entry are tied at zero."""

    average_precision: Float[ndarray, "column concept"]
    """Mean over the concept's tokens of the precision where they are called; tied tokens are called together."""


class _Hits(NamedTuple):
    """Entries on tokens that carry one concept, in the order of the entries."""

    entry: Int[ndarray, "hit"]
    column: Int[ndarray, "hit"]
    running: Int[ndarray, "hit"]
    """Hits of the column up to and with this one."""

    starts: Int[ndarray, "present"]
    """First hit of each column that has one."""


def rank_sparse(matrix: Matrix) -> Ranked:
    """Entries of a token × column matrix without negative entries; explicit zeros are no entries."""
    by_column = csc_array(matrix)
    by_column.eliminate_zeros()
    column = np.repeat(np.arange(matrix.shape[1]), np.diff(by_column.indptr))
    order = np.lexsort((-by_column.data, column))
    return _ranked(by_column.indices[order], column, by_column.data[order], by_column.indptr, matrix.shape[0])


def rank_dense(values: Float[ndarray, "token column"]) -> Ranked:
    """Every token is an entry of every column."""
    tokens, columns = values.shape
    negative = np.ascontiguousarray(-values.T)
    order = np.argsort(negative, axis=1)
    offsets = np.arange(columns + 1) * tokens
    ordered = -np.take_along_axis(negative, order, axis=1)
    return _ranked(order.ravel(), np.repeat(np.arange(columns), tokens), ordered.ravel(), offsets, tokens)


def _ranked(
    token: Int[ndarray, "entry"],
    column: Int[ndarray, "entry"],
    value: Float[ndarray, "entry"],
    offsets: Int[ndarray, "column+1"],
    tokens: int,
) -> Ranked:
    new = np.ones(len(value), dtype=bool)
    new[1:] = (value[1:] != value[:-1]) | (column[1:] != column[:-1])
    tie = np.cumsum(new, dtype=np.int32) - 1
    first = np.append(np.flatnonzero(new), len(value))
    base = np.asarray(offsets, dtype=np.int64)[column]
    before, reach = (first[tie] - base).astype(np.int32), (first[tie + 1] - base).astype(np.int32)
    return Ranked(token, column.astype(np.int32), value, before, reach, offsets, tokens)


def best_thresholds(ranked: Ranked, carried: Matrix) -> Best:
    """For every pair, the threshold at which F1 = 2 tp / (called + positives) is largest.

    carried: true where a token carries a concept (token × concept), without stored zeros.
    """
    shape, positives = (ranked.columns, carried.shape[1]), tokens_of(carried)
    threshold = np.full(shape, np.inf, dtype=ranked.value.dtype)
    true_positives, called = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for concept, hits in _hits(ranked, carried):
        reach = ranked.reach[hits.entry]
        f1 = 2 * hits.running / (reach + positives[concept])
        size = np.diff(np.append(hits.starts, len(f1)))
        at_top = np.flatnonzero(f1 == np.repeat(np.maximum.reduceat(f1, hits.starts), size))
        # Of tied tokens the last one has them all in tp, so that F1 is never largest at another.
        chosen = at_top[np.searchsorted(at_top, hits.starts)]
        at = (hits.column[chosen], concept)
        threshold[at] = ranked.value[hits.entry[chosen]]
        true_positives[at], called[at] = hits.running[chosen], reach[chosen]
    return Best(threshold, PairCounts(true_positives, called, positives))


def counts_at(ranked: Ranked, carried: Matrix, threshold: Float[ndarray, "column concept"]) -> PairCounts:
    """What is called at thresholds that were chosen elsewhere."""
    found = np.zeros(threshold.shape, dtype=np.int64)
    for concept, hits in _hits(ranked, carried):
        reached = ranked.value[hits.entry] >= threshold[hits.column, concept]
        found[:, concept] = np.bincount(hits.column[reached], minlength=ranked.columns)
    called = np.zeros(threshold.shape, dtype=np.int64)
    for column in range(ranked.columns):
        falling = ranked.value[ranked.offsets[column] : ranked.offsets[column + 1]]
        called[column] = np.searchsorted(-falling, -threshold[column], "right")
    return PairCounts(found, called, tokens_of(carried))


def regions_found(
    ranked: Ranked, labels: ConceptLabels, threshold: Float[ndarray, "column concept"]
) -> Int[ndarray, "column concept"]:
    """Regions of which at least one token is called; a region of several parts or windows counts once."""
    carried = labels.regions[ranked.token]
    entry = np.repeat(np.arange(len(ranked.token)), np.diff(carried.indptr))
    region = carried.indices
    column, concept = ranked.column[entry], labels.concept_of[region]
    reached = ranked.value[entry] >= threshold[column, concept]
    found = np.unique(column[reached].astype(np.int64) * len(labels.concept_of) + region[reached])
    pair = (found // len(labels.concept_of)) * len(labels.names) + labels.concept_of[found % len(labels.concept_of)]
    return np.bincount(pair, minlength=threshold.size).reshape(threshold.shape)


def rank_metrics(ranked: Ranked, carried: Matrix) -> RankMetrics:
    """AUROC and average precision of every pair, from the entries and the number of tokens without one."""
    positives, tokens = tokens_of(carried), ranked.tokens
    silent_rank = (np.diff(ranked.offsets) + tokens + 1) / 2
    ranks, precisions = np.outer(silent_rank, positives), np.zeros((ranked.columns, carried.shape[1]))
    precisions += positives**2 / tokens  # as if all were silent, and so called with every token
    for concept, hits in _hits(ranked, carried):
        reach = ranked.reach[hits.entry]
        middle = (ranked.before[hits.entry] + reach + 1) / 2
        gained = _hits_of_ties(reach, hits) / reach - positives[concept] / tokens
        ranks[:, concept] += np.bincount(hits.column, middle - silent_rank[hits.column], ranked.columns)
        precisions[:, concept] += np.bincount(hits.column, gained, ranked.columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        best = positives * tokens + positives - positives * (positives + 1) / 2
        auroc = (best - ranks) / (positives * (tokens - positives))
        average = precisions / positives
    both = (positives > 0) & (positives < tokens)
    return RankMetrics(np.where(both, auroc, np.nan), np.where(both, average, np.nan))


def tokens_of(carried: Matrix) -> Int[ndarray, "concept"]:
    """Tokens that carry each concept."""
    return np.bincount(carried.indices, minlength=carried.shape[1])


def _hits(ranked: Ranked, carried: Matrix) -> Iterator[tuple[int, _Hits]]:
    """Concept by concept, those that have an entry."""
    by_concept = csc_array(carried[ranked.token])
    for concept, (first, last) in enumerate(pairwise(by_concept.indptr)):
        entry = by_concept.indices[first:last]
        if len(entry):
            column = ranked.column[entry]
            starts = np.flatnonzero(np.diff(column, prepend=-1))
            size = np.diff(np.append(starts, len(entry)))
            yield concept, _Hits(entry, column, np.arange(1, len(entry) + 1) - np.repeat(starts, size), starts)


def _hits_of_ties(reach: Int[ndarray, "hit"], hits: _Hits) -> Int[ndarray, "hit"]:
    """Running hits at the last of the tied hits of a column."""
    ends = np.ones(len(reach), dtype=bool)
    ends[:-1] = (reach[1:] != reach[:-1]) | (hits.column[1:] != hits.column[:-1])
    last = np.flatnonzero(ends)
    return hits.running[last[np.searchsorted(last, np.arange(len(reach)))]]
