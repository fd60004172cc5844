"""From columns to conclusions: what is chosen on validation, how it does on test, and what chance would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.features.columns import Columns, SparseColumns
from mints.features.concepts import ConceptLabels, Matrix, shifted
from mints.features.exact_thresholds import (
    PairCounts,
    RankMetrics,
    best_thresholds,
    counts_at,
    rank_metrics,
    regions_found,
)


class Chosen(NamedTuple):
    """The column and threshold of the largest F1 of each concept; of equal columns the first."""

    column: Int[ndarray, "concept"]
    threshold: Float[ndarray, "concept"]
    f1: Float[ndarray, "concept"]
    """Where it was chosen, and so too high."""


class PairScores(NamedTuple):
    """Every column against every concept: thresholds of validation, counts and rank metrics of test."""

    threshold: Float[ndarray, "column concept"]
    validation: PairCounts
    test: PairCounts
    test_ranks: RankMetrics
    test_regions: Int[ndarray, "column concept"]
    """Regions found, of those in `ConceptLabels.region_counts`."""


class WindowCounts(NamedTuple):
    """What one column per concept calls, by window: everything that F1 and its resamples need."""

    true_positives: Int[ndarray, "window concept"]
    called: Int[ndarray, "window concept"]
    positives: Int[ndarray, "window concept"]


class F1(NamedTuple):
    """F1 over all windows and over resamples of windows."""

    value: Float[ndarray, "concept"]
    resampled: Float[ndarray, "resample concept"]
    """NaN where no token of the concept was drawn."""


def choose(columns: Columns, carried: Matrix) -> Chosen:
    """Column and threshold for each concept, on the labels that are given and on nothing else.

    carried: true where a token carries a concept (token × concept), without stored zeros.
    """
    n = carried.shape[1]
    column, limit, value = np.zeros(n, dtype=np.int64), np.full(n, np.inf, dtype=np.float32), np.full(n, -1.0)
    concepts = np.arange(n)
    for first, ranked in columns.blocks():
        threshold, counts = best_thresholds(ranked, carried)
        f1 = np.nan_to_num(counts.f1)
        best = f1.argmax(axis=0)
        better = f1[best, concepts] > value
        column[better] = (first + best)[better]
        limit[better] = threshold[best, concepts][better]
        value[better] = f1[best, concepts][better]
    return Chosen(column, limit, value)


def score_pairs(
    validation: SparseColumns, labels: ConceptLabels, test: SparseColumns, test_labels: ConceptLabels
) -> PairScores:
    """All pairs, with the threshold of each chosen on validation."""
    threshold, counts = best_thresholds(validation.ranked, labels.tokens)
    return PairScores(
        threshold,
        counts,
        counts_at(test.ranked, test_labels.tokens, threshold),
        rank_metrics(test.ranked, test_labels.tokens),
        regions_found(test.ranked, test_labels, threshold),
    )


def called_by(columns: Columns, chosen: Chosen) -> Bool[ndarray, "token concept"]:
    """Whether each token reaches the threshold of the column that was chosen for each concept."""
    return columns.take(chosen.column) >= chosen.threshold


def count_windows(
    called: Bool[ndarray, "token concept"], labels: ConceptLabels, window: Int[ndarray, "token"], windows: int
) -> WindowCounts:
    """Calls, true and all, and tokens of every concept, in every window."""
    at = (window, np.arange(len(window)))
    of_window = csr_array((np.ones(len(window), dtype=np.int64), at), shape=(windows, len(window)))
    carried = labels.tokens.toarray()
    return WindowCounts(*(of_window @ each.astype(np.int64) for each in (called & carried, called, carried)))


def f1_of(counts: WindowCounts, weights: Int[ndarray, "resample window"]) -> F1:
    """F1 = 2 Σ tp / (Σ called + Σ positives) over windows, as they are and as they were drawn."""

    def ratio(drawn: Float[ndarray, "row window"]) -> Float[ndarray, "row concept"]:
        above, positives = 2 * (drawn @ counts.true_positives), drawn @ counts.positives
        value = np.full(above.shape, np.nan)
        np.divide(above, drawn @ counts.called + positives, out=value, where=positives > 0)
        return value

    everything = np.ones((1, counts.called.shape[0]))
    return F1(ratio(everything)[0], ratio(weights.astype(np.float64)))


class Shift(NamedTuple):
    """By how many tokens the labels of each split go round."""

    validation: int
    test: int


def shift_null(
    validation: Columns, carried: Matrix, test: Columns, test_carried: Matrix, shifts: Sequence[Shift]
) -> Float[ndarray, "shift concept"]:
    """Test F1 of the whole procedure, choice of the column included, where labels belong to other tokens."""
    scored = []
    for shift in shifts:
        called = called_by(test, choose(validation, shifted(carried, shift.validation)))
        truly = shifted(test_carried, shift.test).toarray()
        below = called.sum(0) + truly.sum(0)
        scored.append(np.divide(2.0 * (called & truly).sum(0), below, out=np.zeros(len(below)), where=below > 0))
    return np.array(scored)


def draw_shifts(tokens: int, test_tokens: int, count: int, rng: np.random.Generator) -> list[Shift]:
    """Shifts by at least a twentieth of the tokens, so that labels leave their own surroundings."""

    def draw(n: int) -> int:
        return int(rng.integers(n // 20 + 1, n - n // 20))

    return [Shift(draw(tokens), draw(test_tokens)) for _ in range(count)]


def f1_of_calling_everything(labels: ConceptLabels) -> Float[ndarray, "concept"]:
    """F1 = 2 b / (1 + b) of a concept on a share b of the tokens: what needs no model at all."""
    share = labels.positives / labels.tokens.shape[0]
    value: Float[ndarray, "concept"] = 2 * share / (1 + share)
    return value
