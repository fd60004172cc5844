"""Alignment and enrichment of the heads of several models, from sums on the same sequences and resamples."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.analysis.cross_model import best_head_difference
from mints.analysis.evidence import KEYS, Thresholds, aligned, enriched
from mints.analysis.head_sums import HeadSums, enrichment, from_arrays, within_r
from mints.analysis.qk_alignment import TOKEN_SETS

ALIGNMENT_COLUMNS = ["r", "r_low", "r_high", "p_holm", "r_beyond_position", "null_r", "p_permuted", "ceiling"]
ENRICHMENT_COLUMNS = ["rho", "rho_low", "rho_high", "p_holm", "beyond_position", "null_rho", "p_permuted", "n_support"]


INNER = "inner_tokens"

Resampled = Float[ndarray, "resample head"]


class HeadFigures(NamedTuple):
    """What one model's heads gave on one question."""

    alignment: pd.DataFrame
    """As `alignment_table`, with a column `variant`."""

    enrichment: pd.DataFrame
    """As `enrichment_table`, with a column `variant`."""

    sums: Mapping[str, ndarray]
    """Resampled sums of the model's own variant."""


def head_table(figures: HeadFigures, thresholds: Thresholds) -> pd.DataFrame:
    """One row per variant and head: r and ρ with their intervals and nulls, and the registered criteria.

    `r_inner` is r over inner tokens: tokenizers cut a sequence's ends differently, and there fewer windows overlap a
    token, so that its best score is lower whatever the motif.
    """
    by_set = {name: rows.reset_index(drop=True) for name, rows in figures.alignment.groupby("token_set")}
    left = by_set[TOKEN_SETS[0]]
    right = figures.enrichment.reset_index(drop=True)
    on = ["variant", *KEYS]
    left = left[[*on, *ALIGNMENT_COLUMNS]].assign(r_inner=by_set[INNER]["r"], aligned=aligned(left, thresholds))
    right = right[[*on, *ENRICHMENT_COLUMNS]].assign(enriched=enriched(right, thresholds))
    return left.merge(right, on=on, validate="one_to_one", suffixes=("_r", "_rho"))


def head_summary(table: pd.DataFrame) -> dict[str, object]:
    """The best heads of one model on one question, the highest ceiling, and how many heads pass.

    table: of `head_table`. `untrained_` figures are those of the randomly initialised twin.
    """
    own, twin = (table[table["variant"] == variant] for variant in ("model", "random_initialisation"))
    best_r, best_rho = (own.iloc[int(np.nanargmax(own[value]))] for value in ("r", "rho"))
    return {
        "heads": len(own),
        "support_tokens": int(own["n_support"].iloc[0]),
        "largest_r": best_r["r"],
        "largest_r_low": best_r["r_low"],
        "largest_r_high": best_r["r_high"],
        "r_head": _name(best_r),
        "largest_ceiling": own["ceiling"].max(),
        "largest_r_inner": own["r_inner"].max(),
        "untrained_r": twin["r"].max(),
        "largest_rho": best_rho["rho"],
        "largest_rho_low": best_rho["rho_low"],
        "largest_rho_high": best_rho["rho_high"],
        "rho_head": _name(best_rho),
        "untrained_rho": twin["rho"].max(),
        "aligned": int(own["aligned"].sum()),
        "enriched": int(own["enriched"].sum()),
    }


def head_differences(models: Mapping[str, HeadFigures], level: float) -> list[dict[str, object]]:
    """Best head against best head, for every pair of models and either measure (see `best_head_difference`)."""
    rows: list[dict[str, object]] = []
    for (first, one), (second, other) in combinations(models.items(), 2):
        for measure, (values, other_values) in _measures(one, other).items():
            head, other_head, gap = best_head_difference(values, other_values, level)
            rows.append(
                {
                    "measure": measure,
                    "first": first,
                    "first_head": _named(head, one),
                    "second": second,
                    "second_head": _named(other_head, other),
                    "difference": gap.value,
                    "difference_low": gap.low,
                    "difference_high": gap.high,
                }
            )
    return rows


def _measures(one: HeadFigures, other: HeadFigures) -> dict[str, tuple[Resampled, Resampled]]:
    sums, other_sums = (from_arrays(HeadSums, figures.sums) for figures in (one, other))
    return {
        "r": (within_r(sums.all_tokens), within_r(other_sums.all_tokens)),
        "r_inner": (within_r(sums.inner_tokens), within_r(other_sums.inner_tokens)),
        "rho": (enrichment(sums.received), enrichment(other_sums.received)),
    }


def _named(head: int, figures: HeadFigures) -> str:
    layer, head = divmod(head, int(figures.sums["n_heads"]))
    return f"L{layer}H{head}"


def _name(row: pd.Series) -> str:
    return f"L{row['layer']:.0f}H{row['head']:.0f}"
