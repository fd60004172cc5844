"""The evidence stack: one row per head, and a verdict only where all three criteria speak for the same motif."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

CRITERIA = ("aligned", "enriched", "restored")
KEYS = ["layer", "head"]
NULLS = ("other_pair", "other_corrupted", "beyond_other_corrupted_low", "control", "beyond_control_low")
"""What stands beside a restoration: the nulls' own figures, and the paired bounds that a verdict needs."""


class Thresholds(NamedTuple):
    """Registered before any result."""

    r: float
    p: float
    rho: float
    pm: float

    relative_r: float = 0.5
    """Share of the layer's ceiling for the exploratory, ceiling-relative criterion."""


def aligned(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Correlation ≥ threshold, Holm's p below its own, beyond what position alone gives, above the permuted motifs."""
    return (table["r"] >= thresholds.r) & _beyond_nulls(table, thresholds)


def aligned_relative(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """The same with r held against the layer's ceiling: exploratory."""
    return (table["r_over_ceiling"] >= thresholds.relative_r) & (table["r"] > 0) & _beyond_nulls(table, thresholds)


def _beyond_nulls(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    return (
        (table["p_holm"] < thresholds.p)
        & (table["r_beyond_position_low"] > 0)
        & ((table["p_permuted"] <= thresholds.p) | table["p_permuted"].isna())
    )


def enriched(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """ρ ≥ threshold with an interval above 1, beyond what position alone gives, and above the permuted motifs."""
    return (
        (table["rho"] >= thresholds.rho)
        & (table["p_holm"] < thresholds.p)
        & (table["rho_low"] > 1)
        & (table["beyond_position_low"] > 1)
        & ((table["p_permuted"] <= thresholds.p) | table["p_permuted"].isna())
    )


def restored(table: pd.DataFrame, thresholds: Thresholds) -> pd.Series:
    """Denoising restores: lower bound of PM ≥ threshold, of an effect that exists, and more than either null gives.

    The nulls are an activation of a sequence without the motif (another pair's corrupted run), and control edits; the
    differences are paired. Another pair's *clean* activation carries the motif: what a detector says is
    interchangeable, so that it is no null.
    """
    return (
        (table["pm_low"] >= thresholds.pm)
        & (table["effect_low"] > 0)
        & (table["beyond_other_corrupted_low"] > 0)
        & (table["beyond_control_low"] > 0)
    )


def evidence_table(
    alignment: pd.DataFrame, enrichment: pd.DataFrame, patching: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """One row per head with every criterion, interval, q-value and the verdict.

    alignment: rows of all tokens. patching: rows of denoising. All three of one model and one motif.
    """
    left = alignment[
        [*KEYS, "r", "r_low", "r_high", "q", "ceiling", "r_over_ceiling", "r_position", "p_permuted"]
    ].rename(columns={"q": "r_q", "p_permuted": "r_p_permuted"})
    left["aligned"] = aligned(alignment, thresholds)
    left["aligned_relative"] = aligned_relative(alignment, thresholds)
    middle = enrichment[[*KEYS, "rho", "rho_low", "rho_high", "q", "rho_position", "p_permuted"]].rename(
        columns={"q": "rho_q", "p_permuted": "rho_p_permuted"}
    )
    middle["enriched"] = enriched(enrichment, thresholds)
    columns = ["pm", "pm_low", "pm_high", "q", "effect", "effect_low", *NULLS, "overshoot"]
    right = patching[[*KEYS, *columns]].rename(columns={"q": "pm_q"})
    right["restored"] = restored(patching, thresholds)
    table = left.merge(middle, on=KEYS, validate="one_to_one").merge(right, on=KEYS, validate="one_to_one")
    table["verdict"] = [verdict(*met) for met in table[list(CRITERIA)].itertuples(index=False)]
    return table


def verdict(is_aligned: bool, is_enriched: bool, is_restored: bool) -> str:
    """What the criteria together allow to say."""
    met = [name for name, holds in zip(CRITERIA, (is_aligned, is_enriched, is_restored), strict=True) if holds]
    return "motif detector" if len(met) == len(CRITERIA) else " + ".join(met) or "none"
