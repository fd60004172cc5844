"""How well scores tell two classes apart, for the data and for all bootstrap resamples at once.

Every metric takes a matrix of row weights (one row per resample; a row of ones is the data itself) and gives one figure
per resample: the same as the usual metric on rows repeated so many times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import interval

BLOCK = 250
"""Resamples worked on at a time, so that memory does not grow with their number."""


NEWTON_STEPS = 40
"""Most steps of the calibration slope; six or seven are usual."""


class Scored(NamedTuple):
    """Labels and logits of a test set, sorted once so that every metric is a sum along the rows."""

    labels: Bool[ndarray, "row"]
    logits: Float[ndarray, "row"]
    order: Int[ndarray, "row"]
    """Rows by ascending logit."""

    last_of_tie: Bool[ndarray, "row"]
    """In that order: whether the next row has another logit."""


def scored(labels: Int[ndarray, "row"], logits: Float[ndarray, "row"]) -> Scored:
    """Prepare a test set."""
    order = np.argsort(logits, kind="stable")
    ranked = logits[order]
    return Scored(labels.astype(bool), logits, order, np.append(ranked[1:] != ranked[:-1], True))


def auroc(test: Scored, weights: Float[ndarray, "resample row"]) -> Float[ndarray, "resample"]:
    """P(score of a positive > score of a negative), ties half; NaN where a class is absent."""
    positive, negative = _ranked(test, weights)
    # Within a group of ties every pair counts half: the trapezoid between the group's ends.
    cumulative = np.cumsum(negative, axis=1)[:, test.last_of_tie]
    in_group = np.diff(np.cumsum(positive, axis=1)[:, test.last_of_tie], axis=1, prepend=0)
    before = np.concatenate([np.zeros((len(cumulative), 1)), cumulative[:, :-1]], axis=1)
    pairs = (in_group * (before + cumulative) / 2).sum(axis=1)
    return _ratio(pairs, positive.sum(axis=1) * negative.sum(axis=1))


def auprc(test: Scored, weights: Float[ndarray, "resample row"]) -> Float[ndarray, "resample"]:
    """Average precision: Σ (recallₙ − recallₙ₋₁) · precisionₙ over descending thresholds, ties taken together."""
    positive, negative = _ranked(test, weights)
    # From the highest score downwards; a threshold stands before the first row of each tie.
    ends = np.append(test.last_of_tie[:-1], True)
    starts = np.append(True, ends[:-1])[::-1]
    true = np.cumsum(positive[:, ::-1], axis=1)[:, starts]
    all_called = true + np.cumsum(negative[:, ::-1], axis=1)[:, starts]
    gained = np.diff(true, axis=1, prepend=0)
    precision = np.divide(true, all_called, out=np.zeros_like(true), where=all_called > 0)
    return _ratio((gained * precision).sum(axis=1), positive.sum(axis=1))


def confusion_metrics(
    test: Scored, weights: Float[ndarray, "resample row"]
) -> tuple[Float[ndarray, "resample"], Float[ndarray, "resample"]]:
    """Accuracy and Matthews correlation at probability 0.5; the latter 0 where a margin is empty, as usual."""
    called = test.logits > 0
    table = np.stack(
        [called & test.labels, called & ~test.labels, ~called & test.labels, ~called & ~test.labels], axis=1
    )
    tp, fp, fn, tn = (weights @ table.astype(weights.dtype)).astype(float).T
    accuracy = _ratio(tp + tn, tp + fp + fn + tn)
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    mcc = np.divide(tp * tn - fp * fn, np.sqrt(margins), out=np.zeros_like(margins), where=margins > 0)
    return accuracy, mcc


def brier(test: Scored, weights: Float[ndarray, "resample row"]) -> Float[ndarray, "resample"]:
    """Mean squared error of the probability."""
    error = (sigmoid(test.logits) - test.labels) ** 2
    return _ratio(weights @ error.astype(weights.dtype), weights.sum(axis=1))


def calibration_slope(test: Scored, weights: Float[ndarray, "resample row"]) -> Float[ndarray, "resample"]:
    """Slope of a logistic regression of the label on the logit (Cox 1958), by Newton steps for all resamples at once.

    NaN where a class is absent or the classes are separated, since the slope is then unbounded; and in the rare
    resample that is so close to it that the steps do not settle.
    """
    spread = test.logits.std() or 1.0
    x = test.logits / spread
    design = np.stack([np.ones_like(x), x], axis=1)
    products = np.stack([np.ones_like(x), x, x * x], axis=1)
    beta = np.zeros((len(weights), 2))
    bounded = _classes_overlap(test, weights)
    for _ in range(NEWTON_STEPS):
        probability = sigmoid(beta @ design.T)
        gradient = (weights * (test.labels - probability)) @ design
        constant, linear, square = ((weights * probability * (1 - probability)) @ products).T
        determinant = constant * square - linear**2
        with np.errstate(divide="ignore", invalid="ignore"):
            step_0 = (square * gradient[:, 0] - linear * gradient[:, 1]) / determinant
            step_1 = (constant * gradient[:, 1] - linear * gradient[:, 0]) / determinant
        # Short steps: from a slope of 0 a full one can overshoot into the flat region and never come back.
        beta += np.clip(np.nan_to_num(np.stack([step_0, step_1], axis=1)), -1, 1)
        converged = np.abs(gradient).max(axis=1) < 1e-9 * weights.sum(axis=1)
        if converged[bounded].all():
            break
    return np.where(bounded & converged, beta[:, 1] / spread, np.nan)


def _classes_overlap(test: Scored, weights: Float[ndarray, "resample row"]) -> Bool[ndarray, "resample"]:
    """Whether no threshold on the logit parts the drawn classes, either way round; False where a class is absent."""
    ends = []
    for rows in (test.labels, ~test.labels):
        drawn = weights[:, rows] > 0
        lowest = np.where(drawn, test.logits[rows], np.inf).min(axis=1, initial=np.inf)
        highest = np.where(drawn, test.logits[rows], -np.inf).max(axis=1, initial=-np.inf)
        ends.append((lowest, highest))
    (lowest_positive, highest_positive), (lowest_negative, highest_negative) = ends
    overlap: Bool[ndarray, "resample"] = (lowest_positive < highest_negative) & (lowest_negative < highest_positive)
    return overlap


FIGURES: Mapping[str, Callable[[Scored, Float[ndarray, "resample row"]], Float[ndarray, "resample"]]] = (
    MappingProxyType(
        {
            "auroc": auroc,
            "auprc": auprc,
            "accuracy": lambda test, weights: confusion_metrics(test, weights)[0],
            "mcc": lambda test, weights: confusion_metrics(test, weights)[1],
            "brier": brier,
            "calibration_slope": calibration_slope,
        }
    )
)
METRICS = tuple(FIGURES)


def resampled_metrics(
    test: Scored, weights: Int[ndarray, "resample row"], names: Sequence[str] = METRICS
) -> dict[str, Float[ndarray, "resample"]]:
    """The metrics called `names` for every resample, in blocks."""
    blocks = [weights[start : start + BLOCK].astype(float) for start in range(0, len(weights), BLOCK)]
    return {name: np.concatenate([FIGURES[name](test, block) for block in blocks]) for name in names}


def resampled_auroc(test: Scored, weights: Int[ndarray, "resample row"]) -> Float[ndarray, "resample"]:
    """AUROC for every resample."""
    return resampled_metrics(test, weights, ["auroc"])["auroc"]


class Judged(NamedTuple):
    """Metrics of one set of scores, and their values in every resample."""

    value: dict[str, float]
    resampled: dict[str, Float[ndarray, "resample"]]


def judge(
    labels: Int[ndarray, "row"],
    logits: Float[ndarray, "row"],
    weights: Int[ndarray, "resample row"],
    names: Sequence[str] = METRICS,
) -> Judged:
    """The metrics of the data and of every resample."""
    test = scored(labels, logits)
    figures = resampled_metrics(test, np.ones((1, len(labels)), dtype=weights.dtype), names)
    return Judged({name: float(figures[name][0]) for name in names}, resampled_metrics(test, weights, names))


def evaluate(
    labels: Int[ndarray, "row"],
    logits: Float[ndarray, "row"],
    weights: Int[ndarray, "resample row"],
    level: float,
    names: Sequence[str] = METRICS,
) -> dict[str, float]:
    """The metrics with their intervals, as `auroc`, `auroc_low`, `auroc_high`, …"""
    return with_intervals(judge(labels, logits, weights, names), level)


def with_intervals(judged: Judged, level: float) -> dict[str, float]:
    """Every metric with the ends of its interval."""
    row: dict[str, float] = {}
    for name, value in judged.value.items():
        low, high = interval(judged.resampled[name], level)
        row |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def sigmoid(logits: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """1 / (1 + e^-x) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * logits))


def _ranked(
    test: Scored, weights: Float[ndarray, "resample row"]
) -> tuple[Float[ndarray, "resample row"], Float[ndarray, "resample row"]]:
    """Weights of positives and of negatives, rows by ascending logit."""
    ranked = weights[:, test.order]
    positive = ranked * test.labels[test.order]
    return positive, ranked - positive


def _ratio(
    numerator: Float[ndarray, "resample"], denominator: Float[ndarray, "resample"]
) -> Float[ndarray, "resample"]:
    ratio: Float[ndarray, "resample"] = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio
