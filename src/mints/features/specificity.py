"""Whether latents of a behaviour are its own: what they do on its decoys, and on the regions of another behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import csr_array
from scipy.stats import hypergeom, spearmanr

from mints.analysis.bootstrap import interval
from mints.analysis.metrics import auroc, scored
from mints.features.activations import Tokens
from mints.features.concepts import Matrix

SIGNIFICANT = 0.05
"""Largest q at which a latent belongs to a behaviour."""


class Region(NamedTuple):
    """Letters [start, end) of one of some sequences."""

    sequence: int
    start: int
    end: int


def region_means(
    latents: Matrix, tokens: Tokens, regions: Sequence[Region], chosen: Int[ndarray, "latent"]
) -> Float[ndarray, "region latent"]:
    """Mean activation of the chosen latents over each region's tokens; 0 where it has none.

    latents: one row a token in the order of `tokens`, which lie in the order of their sequences.
    """
    rows, columns, weights = [], [], []
    bounds = np.searchsorted(tokens.sequence, [region.sequence for region in regions])
    ends = np.searchsorted(tokens.sequence, [region.sequence for region in regions], side="right")
    for place, (region, first, last) in enumerate(zip(regions, bounds, ends, strict=True)):
        inside = first + np.flatnonzero(
            (tokens.start[first:last] < region.end) & (tokens.end[first:last] > region.start)
        )
        rows.append(np.full(len(inside), place))
        columns.append(inside)
        weights.append(np.full(len(inside), 1 / max(1, len(inside))))
    at = (np.concatenate([*rows, np.zeros(0, int)]), np.concatenate([*columns, np.zeros(0, int)]))
    average = csr_array((np.concatenate([*weights, np.zeros(0)]), at), shape=(len(regions), latents.shape[0]))
    means: Float[ndarray, "region latent"] = (average @ csr_array(latents[:, chosen])).toarray()
    return means


def specificity_table(
    means: Mapping[str, Float[ndarray, "region latent"]],
    weights: Mapping[str, Float[ndarray, "resample region"]],
    own: str,
    latents: Int[ndarray, "latent"],
    level: float,
) -> pd.DataFrame:
    """One row per latent: mean activation and share of regions where it fires, by kind; AUROC of its own kind.

    means, weights: by kind of region, `own` among them; resamples draw regions of one cluster together. The AUROC is of
    the mean activation, own regions against those of each other kind, with an interval.
    """
    table = pd.DataFrame({"latent": latents})
    for kind, of_kind in means.items():
        table[f"mean_{kind}"] = of_kind.mean(axis=0) if len(of_kind) else np.nan
        table[f"fires_{kind}"] = (of_kind > 0).mean(axis=0) if len(of_kind) else np.nan
    for kind in (kind for kind in means if kind != own):
        figures = [
            _auroc(means[own][:, i], means[kind][:, i], weights[own], weights[kind]) for i in range(len(latents))
        ]
        drawn = np.array(figures).reshape(len(latents), -1)
        low, high = interval(drawn[:, 1:].T, level)
        table[f"auroc_{kind}"], table[f"auroc_{kind}_low"], table[f"auroc_{kind}_high"] = drawn[:, 0], low, high
    return table


def _auroc(
    own: Float[ndarray, "region"],
    other: Float[ndarray, "region"],
    own_weights: Float[ndarray, "resample region"],
    other_weights: Float[ndarray, "resample region"],
) -> Float[ndarray, "1+resample"]:
    """In the data and in every resample; NaN where a side has no region."""
    labels = np.repeat([1, 0], [len(own), len(other)])
    drawn = np.concatenate([own_weights, other_weights], axis=1).astype(float)
    return auroc(scored(labels, np.concatenate([own, other])), np.concatenate([np.ones((1, len(labels))), drawn]))


def overlap_table(
    edges: Mapping[str, pd.DataFrame],
    estimates: Mapping[str, Mapping[str, Float[ndarray, "d_sae"]]],
    active: Mapping[str, int],
) -> pd.DataFrame:
    """One row per site: latents significant for each of two behaviours, those for both, and what chance would share.

    edges: by behaviour, edges of latents to it (source_site, source, weight, q). estimates: by behaviour and site, of
    every latent's effect. active: by site, latents that fire at all, among which a random set would be drawn. p: of as
    many shared latents or more (hypergeometric).
    """
    first, second = edges
    rows: list[dict[str, Any]] = []
    for site, alive in active.items():
        own, other = (_significant(edges[name], site) for name in (first, second))
        shared = own & other
        rows.append(
            {
                "site": site, "first": first, "second": second, "first_latents": len(own),
                "second_latents": len(other), "shared": len(shared), "expected": len(own) * len(other) / max(1, alive),
                "active": alive, "p": float(hypergeom.sf(len(shared) - 1, alive, len(own), len(other))),
                "rank_correlation": float(spearmanr(*(np.abs(estimates[name][site]) for name in edges)).statistic),
                "latents": " ".join(f"F{latent}" for latent in sorted(shared)),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _significant(edges: pd.DataFrame, site: str) -> set[int]:
    chosen = edges[(edges["source_site"] == site) & (edges["q"] <= SIGNIFICANT)]
    return set(chosen["source"].astype(int))
