"""QK alignment: does a head's key score follow the motif score? (docs/methods.md, QK alignment)"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import norm

from mints.analysis.bootstrap import interval
from mints.analysis.ceiling import Ceiling
from mints.analysis.head_sums import HeadSums, PermutedSums, partial_r, pooled_r, ratio, within_r
from mints.analysis.multiplicity import benjamini_hochberg, holm

TOKEN_SETS = ("all_tokens", "positive_windows", "inner_tokens", "balanced")
"""Declared before any result; the registered criterion reads the first."""


def alignment_table(
    sums: HeadSums, permuted: PermutedSums, ceilings: Sequence[Ceiling], n_heads: int, *, level: float
) -> pd.DataFrame:
    """One row per token set, layer and head.

    sums: resampled, the data first. `r` is centred within sequence (of the balanced set, whose pairs lie in different
    sequences, the plain one), `r_seed` the plain correlation. `r_position` is what position alone gives, and
    `r_beyond_position` what is left of r when that is held fixed; `null_r` is the largest |r| of the permuted motifs,
    `p_permuted` the rank p-value. `ceiling` is what any linear reading of the layer's input can reach; it belongs to
    the set of all tokens.
    """
    tables = []
    for name in TOKEN_SETS:
        moments = getattr(sums, name)
        r = pooled_r(moments) if name == "balanced" else within_r(moments)
        table = _rows(r, n_heads, level)
        table.insert(0, "token_set", name)
        table["r_seed"] = pooled_r(moments)[0]
        table["n_tokens"] = int(moments.n[0, 0])
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    first = table["token_set"] == TOKEN_SETS[0]
    nulls = _nulls(sums, permuted, level) | _ceiling_columns(ceilings, n_heads)
    for column, values in nulls.items():
        table.loc[first, column] = values
    table.loc[first, "r_over_ceiling"] = table.loc[first, "r"] / table.loc[first, "ceiling"]
    return table


def _rows(r: Float[ndarray, "resample head"], n_heads: int, level: float) -> pd.DataFrame:
    low, high = interval(r[1:], level)
    p = correlation_p(r)
    heads = np.arange(r.shape[1])
    return pd.DataFrame(
        {
            "layer": heads // n_heads,
            "head": heads % n_heads,
            "r": r[0],
            "r_low": low,
            "r_high": high,
            "p": p,
            "q": benjamini_hochberg(p),
            "p_holm": holm(p),
        }
    )


def correlation_p(r: Float[ndarray, "resample head"]) -> Float[ndarray, "head"]:
    """Two-sided p-value of r ≠ 0, the unit being the cluster: Fisher's z over its bootstrap standard error.

    1 where r is undefined: a constant key score aligns with nothing.
    """
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return bootstrap_p(z)


def bootstrap_p(values: Float[ndarray, "resample head"]) -> Float[ndarray, "head"]:
    """Two-sided normal p-value of a figure ≠ 0 from its resamples; row 0 is the figure. 1 where it is undefined."""
    error = np.ma.masked_invalid(values[1:]).std(axis=0, ddof=1).filled(np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.abs(values[0]) / error
    p: Float[ndarray, "head"] = np.nan_to_num(2 * norm.sf(score), nan=1.0)
    return p


def rank_p(value: Float[ndarray, "head"], null: Float[ndarray, "motif head"]) -> Float[ndarray, "head"]:
    """Share of the null's values at least as large, itself counted (Phipson & Smyth 2010); NaN without null."""
    if not len(null):
        return np.full(value.shape, np.nan)
    reached = (np.nan_to_num(null, nan=-np.inf) >= value).sum(0)
    return np.where(np.isnan(value), 1.0, (1 + reached) / (1 + len(null)))


def largest(null: Float[ndarray, "motif head"]) -> Float[ndarray, "head"]:
    """Largest value of every head over the null's motifs; NaN where there is none."""
    value: Float[ndarray, "head"] = np.fmax.reduce(null, axis=0, initial=np.nan)
    return value


def _nulls(sums: HeadSums, permuted: PermutedSums, level: float) -> dict[str, ndarray]:
    r, alone, left = within_r(sums.all_tokens), within_r(sums.position), partial_r(sums)
    null = np.abs(permuted_r(sums, permuted))
    low, high = interval(left[1:], level)
    return {
        "r_position": alone[0],
        "r_beyond_position": left[0],
        "r_beyond_position_low": low,
        "r_beyond_position_high": high,
        "null_r": largest(null),
        "p_permuted": rank_p(np.abs(r[0]), null),
    }


def permuted_r(sums: HeadSums, permuted: PermutedSums) -> Float[ndarray, "motif head"]:
    """Correlation of every head with every permuted motif, centred within sequence."""
    return ratio(permuted.within_xy, np.sqrt(sums.all_tokens.within_xx[:1] * permuted.within_yy))


def _ceiling_columns(ceilings: Sequence[Ceiling], n_heads: int) -> dict[str, ndarray]:
    columns = {"ceiling": [c.r for c in ceilings], "ceiling_low": [c.low for c in ceilings]}
    columns["ceiling_high"] = [c.high for c in ceilings]
    return {name: np.repeat(values, n_heads) for name, values in columns.items()}
