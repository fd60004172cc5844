"""Tables of a feature circuit's edges from exact ablations: weights, intervals, and how matched latents compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import Resamples, interval
from mints.analysis.multiplicity import benjamini_hochberg
from mints.features.circuit_names import ERROR, TO_BEHAVIOUR, TO_FEATURE
from mints.features.contrast import Contrast
from mints.features.latent_ablation import Ablations


class Edges(NamedTuple):
    """Edges from the nodes of one site to one target, or to the latents of one later site."""

    table: pd.DataFrame
    """Columns of `tables/feature_circuit_edges.csv` (docs/methods.md, Feature circuits) but p and q."""

    null: Float[ndarray, "edge"]
    """|weight| of the matched latents' edges, in units of their typical size for the target."""


def behaviour_edges(
    site: str, nodes: Int[ndarray, "node"], own: Ablations, null: Ablations, contrast: Contrast, resamples: Resamples
) -> Edges:
    """What each node contributes to the behaviour: the contrast of the unaltered run minus that of the ablated one.

    own: of the nodes. null: of matched latents.
    """
    low, high = interval(contrast.resampled(own.behaviour, resamples.weights).T, resamples.level)
    weight, matched = contrast.of(own.behaviour), np.abs(contrast.of(null.behaviour))
    typical = _typical(matched)
    table = pd.DataFrame(
        {
            "kind": TO_BEHAVIOUR, "source_site": site, "source": nodes, "target_site": "", "target": -1,
            "weight": weight, "low": low, "high": high, "null": typical, "tokens": own.firings.sum(1),
            "weight_seed": np.maximum(weight, 0),
        }
    )  # fmt: skip
    return Edges(table, _in_units(matched, typical))


def feature_edges(
    site: str,
    other: str,
    nodes: Int[ndarray, "node"],
    targets: Int[ndarray, "target"],
    own: Ablations,
    null: Ablations,
    resamples: Resamples,
) -> Edges:
    """What each node contributes to each target: change summed over tokens, per token on which the node is ablated."""
    weight, matched = (edge_weights(part, other) for part in (own, null))
    typical = _typical(np.abs(matched))
    low, high = np.zeros_like(weight), np.zeros_like(weight)
    for node, (changes, firings) in enumerate(zip(own.downstream[other], own.firings, strict=True)):
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (resamples.weights @ changes) / (resamples.weights @ firings)[:, None]
        low[node], high[node] = interval(drawn, resamples.level)
    everywhere = max(1, int(own.firings[nodes == ERROR].sum()))
    table = pd.DataFrame(
        {
            "kind": TO_FEATURE, "source_site": site, "source": np.repeat(nodes, len(targets)), "target_site": other,
            "target": np.tile(targets, len(nodes)), "weight": weight.ravel(), "low": low.ravel(), "high": high.ravel(),
            "null": np.tile(typical, len(nodes)), "tokens": np.repeat(own.firings.sum(1), len(targets)),
            "weight_seed": own.magnitude[other].ravel() / everywhere,
        }
    )  # fmt: skip
    return Edges(table, _in_units(np.abs(matched), typical).ravel())


def edge_weights(done: Ablations, other: str) -> Float[ndarray, "node target"]:
    """Weights of edges to the watched latents of a later site."""
    weights: Float[ndarray, "node target"] = done.downstream[other].sum(1) / np.maximum(done.firings.sum(1), 1)[:, None]
    return weights


def judge(parts: Sequence[Edges]) -> pd.DataFrame:
    """All edges with p and q.

    p is the share of matched latents' edges of the same kind that are as large, each measured in the typical size of
    matched edges to its target. q is over all edges of a kind. An error node has neither: nothing matches it.
    """
    table = pd.concat([part.table for part in parts], ignore_index=True)
    table["p"] = table["q"] = np.nan
    for kind in table["kind"].unique():
        null = np.sort(np.concatenate([part.null for part in parts if part.table["kind"].iloc[0] == kind]))
        tested = (table["kind"] == kind) & (table["source"] != ERROR) & (table["null"] > 0)
        size = (table["weight"].abs() / table["null"])[tested].to_numpy()
        p = (1 + len(null) - np.searchsorted(null, size, side="left")) / (1 + len(null))
        table.loc[tested, "p"], table.loc[tested, "q"] = p, benjamini_hochberg(p)
    return table


def _typical(matched: Float[ndarray, "match ..."]) -> Float[ndarray, "..."]:
    """Root mean square over the matched latents; 0 where there is none."""
    typical: Float[ndarray, "..."] = np.sqrt(np.square(matched).sum(0) / max(1, len(matched)))
    return typical


def _in_units(matched: Float[ndarray, "match ..."], typical: Float[ndarray, "..."]) -> Float[ndarray, "match ..."]:
    known = np.broadcast_to(typical > 0, matched.shape)
    shares: Float[ndarray, "match ..."] = np.divide(matched, typical, out=np.zeros_like(matched), where=known)
    return shares
