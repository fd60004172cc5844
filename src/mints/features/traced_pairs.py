"""Both runs of a pair at a site, and how latents share the difference between them by integrated gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from mints.features.above import Above, SiteReadout
from mints.features.autoencoder import SparseAutoencoder
from mints.features.integrated_gradients import (
    NODES,
    Attributions,
    Nodes,
    attribute,
    gauss_legendre,
    gini,
    left_riemann,
    sparse_uniform,
    top_share,
)
from mints.features.latent_effects import added, moves_between
from mints.features.restart import Restart


class PairRun(NamedTuple):
    """Both sides of one pair at the site, and what they are judged by."""

    name: str
    cluster: int
    """Pairs of one cluster are resampled together."""

    clean: Restart
    corrupted: Restart
    readout: SiteReadout
    shift: int | None = None
    """How many tokens further the null `elsewhere` puts what is moved; None leaves that null out."""

    def where(self, tokens: str) -> Bool[Tensor, "pos"]:
        """The tokens that the edit changes, or all."""
        changed = self.readout.clean[0] != self.readout.corrupted[0]
        return changed if tokens == "changed tokens" else torch.ones_like(changed)


class Traced(NamedTuple):
    """What the latents of a site are traced with."""

    above: Above
    autoencoder: SparseAutoencoder
    readouts: tuple[str, ...]
    """Names of the read-outs of every pair."""

    asked: tuple[str, ...]
    """Those by whose attributions latents are ranked."""


class Ranking(NamedTuple):
    """Of every latent, over the pairs that rank."""

    attributed: dict[str, Float[ndarray, "latent"]]
    """Integrated gradients at the changed tokens, by read-out, in the direction of the pairs' effect."""

    estimated: dict[str, Float[ndarray, "latent"]]
    """Change times gradient, likewise."""

    length: Float[ndarray, "latent"]
    """Length of its move, summed."""

    frequency: Float[ndarray, "latent"]
    """Share of tokens at which it is active."""


def rank_latents(traced: Traced, pairs: Iterable[PairRun], rng: np.random.Generator) -> Ranking:
    """How much of the pairs' effect each latent is estimated to carry at the changed tokens."""
    d_sae, readouts = traced.autoencoder.d_sae, traced.readouts
    integrated, estimated = np.zeros((2, len(readouts), d_sae))
    length, active, tokens, effect = np.zeros(d_sae), np.zeros(d_sae), 0, np.zeros(len(readouts))
    for pair in pairs:
        changed = pair.where("changed tokens")
        found = attribute_pair(traced, pair, gauss_legendre(NODES), rng)
        integrated += found.at_changed[:, 0]
        effect += found.effect[:, 0]
        moves = moves_between(traced.autoencoder, pair.corrupted.x[0], pair.clean.x[0], changed)
        gradients = traced.above.gradients(pair.corrupted.x, pair.corrupted, pair.readout)[:, 0].float()
        latents = moves.latents.cpu().numpy()
        estimated[:, latents] += moves.estimates(gradients).T.cpu().numpy()
        length[latents] += moves.lengths().cpu().numpy()
        content = pair.readout.content[0]
        active += (added(traced.autoencoder, pair.clean.x[0][content]) > 0).sum(0).cpu().numpy()
        tokens += int(content.sum())
    sign = np.sign(effect)[:, None]
    attributed, by_gradient = (dict(zip(readouts, sign * scores, strict=True)) for scores in (integrated, estimated))
    return Ranking(attributed, by_gradient, length, active / max(tokens, 1))


def attribute_pair(traced: Traced, pair: PairRun, nodes: Nodes, rng: np.random.Generator) -> Attributions:
    """Integrated gradients from the corrupted to the clean run, over all tokens."""
    changed = pair.where("changed tokens")[None]
    return attribute(traced.above, traced.autoencoder, pair.corrupted, pair.clean.x, changed, pair.readout, nodes, rng)


ATTRIBUTION_COLUMNS = (
    "name",
    "cluster",
    "readout",
    "effect",
    "latents",
    "latents_at_changed_tokens",
    "error",
    "completeness_error",
    "completeness_error_left_riemann",
    "active",
    "top_20",
    "top_20_uniform",
    "top_20_random_gradient",
    "gini",
    "gini_uniform",
    "gini_random_gradient",
)


def attribution_table(traced: Traced, pairs: Iterable[PairRun], rng: np.random.Generator) -> pd.DataFrame:
    """One row per pair and read-out: what latents and error are given, completeness, and concentration."""
    tables = []
    for pair in pairs:
        found, coarse = (
            attribute_pair(traced, pair, nodes, rng) for nodes in (gauss_legendre(NODES), left_riemann(NODES))
        )
        latents = found.latents[:, 0]
        columns = {
            "readout": list(traced.readouts),
            "effect": found.effect[:, 0],
            "latents": latents.sum(1),
            "latents_at_changed_tokens": found.at_changed[:, 0].sum(1),
            "error": found.error[:, 0],
            "completeness_error": found.missing[:, 0],
            "completeness_error_left_riemann": coarse.missing[:, 0],
        }
        table = pd.DataFrame(columns | concentration(latents, found.along_random[:, 0]))
        table.insert(0, "cluster", pair.cluster)
        table.insert(0, "name", pair.name)
        tables.append(table[list(ATTRIBUTION_COLUMNS)])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=ATTRIBUTION_COLUMNS)


def concentration(
    latents: Float[ndarray, "readout latent"], along_random: Float[ndarray, "readout latent"]
) -> dict[str, Float[ndarray, "readout"]]:
    """Share of the 20 largest and Gini, beside what sparsity alone and a random gradient give."""
    active = (latents != 0).sum(1)
    uniform_share, uniform_gini = sparse_uniform(active, latents.shape[1])
    return {
        "active": active,
        "top_20": top_share(latents),
        "top_20_uniform": uniform_share,
        "top_20_random_gradient": top_share(along_random),
        "gini": gini(latents),
        "gini_uniform": uniform_gini,
        "gini_random_gradient": gini(along_random),
    }


def halves(pairs: pd.DataFrame, limit: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs that rank the latents, and pairs of other clusters on which they are reported; at most `limit` each."""
    clusters = rng.permutation(pairs["cluster"].unique())
    ranks = pairs["cluster"].isin(clusters[: len(clusters) // 2])
    return pairs[ranks].iloc[:limit], pairs[~ranks].iloc[:limit]
