"""Do the effects that latents carry follow what an assay measured? (docs/methods.md, Latents of substitutions)"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.bootstrap import Resamples, interval
from mints.analysis.qk_alignment import bootstrap_p
from mints.analysis.rank_correlation import rank_correlations

COLUMNS = (
    "quantity",
    "n",
    "spearman",
    "spearman_low",
    "spearman_high",
    "p",
    "partial",
    "partial_low",
    "partial_high",
)


def relation_table(
    quantities: Mapping[str, Float[ndarray, "case"]],
    measured: Float[ndarray, "case"],
    given: Float[ndarray, "case"],
    judge: Resamples,
) -> pd.DataFrame:
    """One row per quantity: Spearman's correlation with what was measured, and the same with `given` held constant.

    The second is the partial correlation of the three ranks; NaN where the quantity is `given` itself.
    """
    weights = np.concatenate([np.ones((1, len(measured)), dtype=judge.weights.dtype), judge.weights])
    of_given = rank_correlations(given, measured, weights)
    rows = []
    for name, values in quantities.items():
        r, with_given = (rank_correlations(values, other, weights) for other in (measured, given))
        partial = _partial(r, with_given, of_given)
        figures = [*_with_interval(r, judge.level), float(bootstrap_p(r[:, None])[0])]
        rows.append([name, len(measured), *figures, *_with_interval(partial, judge.level)])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _partial(
    r: Float[ndarray, "resample"], with_given: Float[ndarray, "resample"], of_given: Float[ndarray, "resample"]
) -> Float[ndarray, "resample"]:
    left = (1 - with_given**2) * (1 - of_given**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(left > 1e-9, (r - with_given * of_given) / np.sqrt(left), np.nan)


def _with_interval(values: Float[ndarray, "resample"], level: float) -> list[float]:
    if not np.isfinite(values[1:]).any():
        return [float(values[0]), np.nan, np.nan]
    low, high = interval(values[1:], level)
    return [float(values[0]), float(low), float(high)]
