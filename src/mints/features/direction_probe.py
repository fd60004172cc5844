"""A fixed direction as a probe of a concept: chosen and cut on validation, judged on test, beside what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import csr_array

from mints.analysis.bootstrap import interval
from mints.features.exact_thresholds import best_thresholds, rank_dense

BINS = 500
"""Score bins in which the resamples of AUROC and average precision are computed; the figures themselves are exact."""


class Contestant(NamedTuple):
    """One score per token that is held to tell a concept's tokens from the others."""

    name: str
    chosen: int
    """Which latent or direction it is; -1 where there is nothing to choose."""

    validation: Float[ndarray, "token"]
    test: Float[ndarray, "token"]


def f1_threshold(scores: Float[ndarray, "token"], labels: Bool[ndarray, "token"]) -> float:
    """The score from which calling a token positive gives the highest F1: a probe's bias, negated.

    Raises ValueError where no token is positive.
    """
    if not labels.any():
        raise ValueError("no token is positive: F1 has no best threshold")
    return float(best_thresholds(rank_dense(scores[:, None]), csr_array(labels[:, None])).threshold[0, 0])


class Judge(NamedTuple):
    """What test scores are judged by."""

    labels: Bool[ndarray, "token"]
    window: Int[ndarray, "token"]
    """Window of each token, from 0 without gap: the unit of resampling."""

    weights: Int[ndarray, "resample window"]
    level: float


class Judged(NamedTuple):
    """Figures of one contestant on test, and their resamples."""

    threshold: float
    value: dict[str, float]
    resampled: dict[str, Float[ndarray, "resample"]]


FIGURES = ("f1", "precision", "recall", "auroc", "ap")


def judge(contestant: Contestant, validation_labels: Bool[ndarray, "token"], test: Judge) -> Judged:
    """F1, precision and recall at the threshold that validation chose, AUROC and average precision (AP)."""
    threshold = f1_threshold(contestant.validation, validation_labels)
    called = contestant.test >= threshold
    outcomes = np.stack([called & test.labels, called, test.labels], axis=1).astype(float)
    windows = test.weights.shape[1]
    counts = np.stack([np.bincount(test.window, column, windows) for column in outcomes.T], axis=1)
    ends = np.unique(np.quantile(contestant.test, np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
    bins = np.searchsorted(ends, contestant.test, side="right")
    exact = np.unique(contestant.test, return_inverse=True)[1]
    together, once = np.zeros_like(test.window), np.ones((1, 1), dtype=int)
    value = _called(counts.sum(axis=0, keepdims=True))
    value |= _ranked(*_histograms(exact, together, test.labels, 1, once))
    resampled = _called(test.weights @ counts)
    resampled |= _ranked(*_histograms(bins, test.window, test.labels, windows, test.weights))
    return Judged(threshold, {name: float(value[name][0]) for name in FIGURES}, resampled)


def probe_rows(
    contestants: Sequence[Contestant], validation_labels: Bool[ndarray, "token"], test: Judge
) -> list[dict[str, object]]:
    """One row per contestant, with intervals and the paired difference to the first one's F1 and AUROC."""
    judged = [judge(contestant, validation_labels, test) for contestant in contestants]
    rows: list[dict[str, object]] = []
    for contestant, found in zip(contestants, judged, strict=True):
        row: dict[str, object] = {
            "probe": contestant.name,
            "chosen": contestant.chosen,
            "threshold": found.threshold,
        }
        for name in FIGURES:
            row |= _with_ends(name, found.value[name], found.resampled[name], test.level)
        for name in ("f1", "auroc"):
            value = found.value[name] - judged[0].value[name]
            row |= _with_ends(f"{name}_beyond", value, found.resampled[name] - judged[0].resampled[name], test.level)
        rows.append(row)
    return rows


def _with_ends(name: str, value: float, resampled: Float[ndarray, "resample"], level: float) -> dict[str, object]:
    low, high = interval(resampled, level)
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


def _called(counts: Float[ndarray, "resample 3"]) -> dict[str, Float[ndarray, "resample"]]:
    """From the counts of true calls, calls, and positives; 0/0 is 0, as usual for F1."""
    true, called, positives = counts.T.astype(float)
    return {
        "f1": _ratio(2 * true, called + positives),
        "precision": _ratio(true, called),
        "recall": _ratio(true, positives),
    }


def _ratio(a: Float[ndarray, "resample"], b: Float[ndarray, "resample"]) -> Float[ndarray, "resample"]:
    ratio: Float[ndarray, "resample"] = np.divide(a, b, out=np.zeros_like(a), where=b > 0)
    return ratio


def _histograms(
    bins: Int[ndarray, "token"],
    window: Int[ndarray, "token"],
    labels: Bool[ndarray, "token"],
    windows: int,
    weights: Int[ndarray, "resample window"],
) -> tuple[Float[ndarray, "resample bin"], Float[ndarray, "resample bin"]]:
    """Positives and negatives per score bin, from the highest, in every resample."""
    width = int(bins.max()) + 1
    place = window * width + bins
    of_class = (np.bincount(place[rows], minlength=windows * width) for rows in (labels, ~labels))
    positive, negative = (weights.astype(float) @ counts.reshape(windows, width)[:, ::-1] for counts in of_class)
    return positive, negative


def _ranked(
    positive: Float[ndarray, "resample bin"], negative: Float[ndarray, "resample bin"]
) -> dict[str, Float[ndarray, "resample"]]:
    """AUROC and average precision, scores of one bin being tied; NaN where a class is absent."""
    true, false = positive.cumsum(1), negative.cumsum(1)
    positives, negatives = true[:, -1], false[:, -1]
    wins = (positive * (negatives[:, None] - false + negative / 2)).sum(1)
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
    return {
        "auroc": _defined(wins, positives * negatives),
        "ap": _defined((positive * precision).sum(1), positives),
    }


def _defined(a: Float[ndarray, "resample"], b: Float[ndarray, "resample"]) -> Float[ndarray, "resample"]:
    ratio: Float[ndarray, "resample"] = np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
    return ratio
