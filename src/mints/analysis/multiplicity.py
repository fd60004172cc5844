"""Families of tests: q-values, family-wise p-values, and an exact bound for a share."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import beta


def benjamini_hochberg(p: Float[ndarray, "test"]) -> Float[ndarray, "test"]:
    """q-values: the false discovery rate at which each test would just be called (Benjamini & Hochberg 1995)."""
    order = np.argsort(p)
    raw = p[order] * len(p) / np.arange(1, len(p) + 1)
    stepped = np.minimum.accumulate(raw[::-1])[::-1]
    return _back(np.minimum(stepped, 1), order)


def holm(p: Float[ndarray, "test"]) -> Float[ndarray, "test"]:
    """p-values adjusted for the whole family (Holm 1979)."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _back(np.minimum(stepped, 1), order)


def clopper_pearson(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Exact interval of a share, from the tails of the binomial (Clopper & Pearson 1934)."""
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def _back(ordered: Float[ndarray, "test"], order: ndarray) -> Float[ndarray, "test"]:
    values = np.empty(len(ordered))
    values[order] = ordered
    return values
