"""Substitutions at motif sites against like substitutions elsewhere, with the sequence as the unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from mints.analysis.bootstrap import cluster_weights, interval
from mints.analysis.multiplicity import benjamini_hochberg
from mints.analysis.qk_alignment import bootstrap_p
from mints.analysis.rank_correlation import rank_correlations

COLUMNS = ("measure", "sequences", "site", "control", "difference", "difference_low", "difference_high", "p", "q")
CORRELATION = ("bits_correlation", "bits_correlation_low", "bits_correlation_high")


def site_against_control(
    table: pd.DataFrame, measures: Sequence[str], *, resamples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """One row per measure: mean at sites, at controls, their difference, and the rank correlation with the motif.

    table: columns sequence (index), cluster, kind (site, control), bits_change (at sites) and the measures. Means are
    over sequences of each one's mean; sequences without both kinds are left out. `bits_correlation` is Spearman's, over
    all substitutions at sites, of the measure and the change of the motif's log-odds; clusters are resampled.
    """
    means = pd.DataFrame(table.groupby(["sequence", "kind"])[list(measures)].mean().unstack("kind"))
    wanted = [(measure, kind) for measure in measures for kind in ("site", "control")]
    means = means.reindex(columns=pd.MultiIndex.from_tuples(wanted)).dropna()
    if means.empty:
        return pd.DataFrame(columns=[*COLUMNS, *CORRELATION])
    clusters = table.groupby("sequence")["cluster"].first()
    weights = _with_whole(cluster_weights(clusters[means.index].to_numpy(), resamples, rng))
    at_sites = table[table["kind"] == "site"]
    of_sites = _with_whole(cluster_weights(at_sites["cluster"].to_numpy(), resamples, rng))
    rows = []
    for measure in measures:
        site, control = (means[measure, kind].to_numpy() for kind in ("site", "control"))
        difference = weights @ (site - control) / weights.sum(1)
        low, high = interval(difference[1:], level)
        row = [measure, len(means), site.mean(), control.mean(), difference[0], float(low), float(high)]
        correlation = rank_correlations(at_sites[measure].to_numpy(), at_sites["bits_change"].to_numpy(), of_sites)
        ends = interval(correlation[1:], level)
        rows.append([*row, float(bootstrap_p(difference[:, None])[0]), np.nan, correlation[0], *map(float, ends)])
    summary = pd.DataFrame(rows, columns=[*COLUMNS, *CORRELATION])
    summary["q"] = benjamini_hochberg(summary["p"].to_numpy())
    return summary


def _with_whole(weights: Int[ndarray, "resample row"]) -> Int[ndarray, "resample row"]:
    return np.concatenate([np.ones((1, weights.shape[1]), dtype=weights.dtype), weights])
