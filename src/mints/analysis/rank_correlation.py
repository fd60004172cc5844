"""Spearman's correlation of the data and of all resamples at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import rankdata

LEAST = 1e-6
"""Product of the two standard deviations below which all ranks of a resample are one, but for rounding."""


def rank_correlations(
    x: Float[ndarray, "row"], y: Float[ndarray, "row"], weights: Int[ndarray, "resample row"]
) -> Float[ndarray, "resample"]:
    """Correlation of the ranks among all rows, with each resample's weights; NaN where either does not vary."""
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (x, y))
    n = weights.sum(1)
    moments = [weights @ values for values in (a, b, a * a, b * b, a * b)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_a, mean_b, aa, bb, ab = (moment / n for moment in moments)
        spread = np.sqrt((aa - mean_a**2).clip(0) * (bb - mean_b**2).clip(0))
        r: Float[ndarray, "resample"] = np.where(spread > LEAST, (ab - mean_a * mean_b) / spread, np.nan)
    return r
