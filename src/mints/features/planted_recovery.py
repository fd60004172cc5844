"""Whether tracing finds a planted circuit: ranks of its edge and nodes, and detection rates by strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.multiplicity import clopper_pearson
from mints.features.circuit_edges import edge_weights
from mints.features.circuit_sites import measure_references
from mints.features.contrast import Contrast
from mints.features.feature_circuits import Sample, Setting, attribution
from mints.features.latent_ablation import ablate_nodes
from mints.features.latent_attribution import attribute_latents
from mints.features.planted_circuit import PlantedPair, plant_circuit, planted_readout
from mints.models.tokenizers import Encoding

CONFIRMED = 16
"""Latents with the largest estimates that are ablated, for the edges into b and for the behaviour each."""

AMONG = 5
"""An edge or a node is found if it is among so many of the strongest of all."""

CRITERIA = {
    "edge a → b": ("edge_found",),
    "a → behaviour": ("upstream_found",),
    "b → behaviour": ("downstream_found",),
    "whole circuit": ("edge_found", "upstream_found", "downstream_found"),
}
"""Columns that a criterion needs together."""


class Recovery(NamedTuple):
    """What tracing says about one planted circuit."""

    strength: float
    upstream: int
    downstream: int
    edge: float
    """Weight of a → b by ablation; NaN where the screen did not propose it."""

    edge_rank: int
    """Place of a → b among all edges into b, by |weight|."""

    upstream_rank: int
    """Place of a among the latents of its site, by |effect on the behaviour|."""

    downstream_rank: int
    latents: int
    """Latents of the upstream site that fire on these sequences."""

    edge_found: bool
    upstream_found: bool
    downstream_found: bool


def recover(
    setting: Setting,
    pair: PlantedPair,
    strength: float,
    reference: Sequence[Encoding],
    encodings: Sequence[Encoding],
) -> Recovery:
    """Plant a circuit, and trace the planted model as any other: screen all latents, ablate those that stand out.

    reference: sequences on which means of the planted model are taken. encodings: those on which the circuit is traced.
    The tracer is told the behaviour and nothing else; b is the target whose sources are ranked.
    """
    low, high = setting.sites[0], setting.sites[-1]
    readout = planted_readout(high, pair.downstream)
    planted = setting._replace(
        encoder=plant_circuit(setting.encoder, pair, strength), sites=[low, high], readout=readout
    )
    compute, budget = planted.compute, planted.tokens_per_batch
    # What lies below the planted neuron is as it was.
    means = setting.references | measure_references(planted.encoder, [high], reference, readout, compute, budget)
    planted = planted._replace(references=means)
    sample = Sample(encodings, Contrast.of_all(len(encodings)))
    behaviour = {name: of.latents for name, of in attribution(planted, sample).items()}
    target = np.array([pair.downstream])
    edges = attribute_latents(planted.encoder, low, high, means[low.name], target, encodings, readout, compute, budget)[
        0
    ]
    chosen = np.union1d(
        *(np.argsort(-np.abs(part), kind="stable")[:CONFIRMED] for part in (edges, behaviour[low.name]))
    )
    done = ablate_nodes(
        planted.encoder, low, means[low.name], chosen, {high: target}, encodings, readout, compute, budget
    )
    exact = edge_weights(done, high.name)[:, 0]
    edge_rank = rank_of(pair.upstream, chosen, exact, edges)
    upstream_rank = rank_of(pair.upstream, chosen, sample.contrast.of(done.behaviour), behaviour[low.name])
    # The read-out is linear in b's site, where estimates are exact.
    every = np.arange(len(behaviour[high.name]))
    downstream_rank = rank_of(pair.downstream, every, behaviour[high.name], behaviour[high.name])
    weight = exact[chosen == pair.upstream]
    return Recovery(
        strength,
        pair.upstream,
        pair.downstream,
        float(weight[0]) if len(weight) else np.nan,
        edge_rank,
        upstream_rank,
        downstream_rank,
        int((edges != 0).sum()),
        *(rank <= AMONG for rank in (edge_rank, upstream_rank, downstream_rank)),
    )


def rank_of(
    latent: int,
    confirmed: Int[ndarray, "confirmed"],
    exact: Float[ndarray, "confirmed"],
    estimates: Float[ndarray, "d_sae"],
) -> int:
    """Place by |exact weight| among the confirmed latents; one that is not confirmed comes after them, by estimate."""
    if latent in confirmed:
        size = np.abs(exact)
        return 1 + int((size > size[confirmed == latent]).sum())
    behind = np.delete(np.abs(estimates), confirmed)
    return 1 + len(confirmed) + int((behind > abs(estimates[latent])).sum())


def recovery_table(trials: pd.DataFrame, level: float) -> pd.DataFrame:
    """Detection rate by criterion and strength, with exact intervals."""
    rows = []
    for criterion, columns in CRITERIA.items():
        for strength, group in trials.groupby("strength"):
            found = int(group[list(columns)].all(axis=1).sum())
            low, high = clopper_pearson(found, len(group), level)
            rows.append((criterion, strength, len(group), found, found / len(group), low, high))
    return pd.DataFrame(rows, columns=["criterion", "strength", "planted", "detected", "rate", "low", "high"])
