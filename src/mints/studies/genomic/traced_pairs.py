"""Part of a step: the pairs whose latents are traced, and their integrated gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from mints.analysis.patching import ProbeLogit
from mints.features.above import READOUTS, Above, PairReadout
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
from mints.features.restart import Restart
from mints.models.tokenizers import Tokenizer
from mints.pipeline.run import Run

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


class Traced(NamedTuple):
    """What latents are traced with."""

    tokenizer: Tokenizer
    autoencoder: SparseAutoencoder
    above: Above
    probe: ProbeLogit


class PairRun(NamedTuple):
    """Both sides of one pair at the site, and what they are judged by."""

    clean: Restart
    corrupted: Restart
    readout: PairReadout

    def where(self, tokens: str) -> Bool[Tensor, "pos"]:
        """The tokens that the edit changes, or all."""
        changed = self.readout.clean[0] != self.readout.corrupted[0]
        return changed if tokens == "changed tokens" else torch.ones_like(changed)


def halves(pairs: pd.DataFrame, limit: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs that rank the latents, and pairs of other clusters on which they are reported; at most `limit` each."""
    clusters = rng.permutation(pairs["cluster"].unique())
    ranks = pairs["cluster"].isin(clusters[: len(clusters) // 2])
    return pairs[ranks].iloc[:limit], pairs[~ranks].iloc[:limit]


def opened(run: Run, traced: Traced, pairs: pd.DataFrame, purpose: str) -> Iterator[PairRun]:
    """Every pair, run up to the site."""
    sides = [traced.tokenizer.encode_many(pairs[side].tolist()) for side in ("clean", "corrupted")]
    for clean, corrupted in run.track(list(zip(*sides, strict=True)), description=purpose, unit="pairs"):
        ids = [torch.from_numpy(side.ids)[None].to(traced.above.compute.device) for side in (clean, corrupted)]
        content = torch.from_numpy(~clean.special)[None].to(ids[0].device)
        clean_run, corrupted_run = (traced.above.record(side) for side in ids)
        yield PairRun(clean_run, corrupted_run, PairReadout(traced.probe, ids[0], ids[1], content))


def attribute_pair(traced: Traced, pair: PairRun, nodes: Nodes, rng: np.random.Generator) -> Attributions:
    """Integrated gradients from the corrupted to the clean run, over all tokens."""
    changed = pair.where("changed tokens")[None]
    return attribute(traced.above, traced.autoencoder, pair.corrupted, pair.clean.x, changed, pair.readout, nodes, rng)


def attribution_table(run: Run, traced: Traced, pairs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One row per pair and read-out: what latents and error are given, completeness, and concentration."""
    tables = []
    for (name, cluster), pair in zip(
        pairs[["name", "cluster"]].itertuples(index=False),
        opened(run, traced, pairs, "integrated gradients"),
        strict=True,
    ):
        found, coarse = (
            attribute_pair(traced, pair, nodes, rng) for nodes in (gauss_legendre(NODES), left_riemann(NODES))
        )
        latents = found.latents[:, 0]
        columns = {
            "readout": READOUTS,
            "effect": found.effect[:, 0],
            "latents": latents.sum(1),
            "latents_at_changed_tokens": found.at_changed[:, 0].sum(1),
            "error": found.error[:, 0],
            "completeness_error": found.missing[:, 0],
            "completeness_error_left_riemann": coarse.missing[:, 0],
        }
        table = pd.DataFrame(columns | concentration(latents, found.along_random[:, 0]))
        table.insert(0, "cluster", cluster)
        table.insert(0, "name", name)
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
