"""Which latents carry a behaviour, and through which later latents: screened by gradient, confirmed by ablation.

All latents are candidates. Those with the largest estimated effect on the behaviour are taken up, and of the strongest
downstream latents also those upstream that are estimated to drive them; each is then ablated on sequences that took no
part in the choice, and held against latents that fire as often and as strongly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import spearmanr

from mints.analysis.bootstrap import Resamples
from mints.analysis.patching import Readout
from mints.features.circuit_edges import Edges, behaviour_edges, feature_edges, judge
from mints.features.circuit_names import ERROR
from mints.features.circuit_sites import Reference, Site, clean_runs
from mints.features.contrast import Contrast
from mints.features.latent_ablation import Ablations, ablate_nodes
from mints.features.latent_attribution import Attribution, attribute_behaviour, attribute_latents
from mints.features.matching import nearest
from mints.models.compute import Compute
from mints.models.encoder import Encoder
from mints.models.tokenizers import Encoding

CONFIRMED = 24
"""Latents of each site with the largest estimated effect on the behaviour, which are ablated."""

AIMS, SOURCES = 8, 4
"""Of so many latents of a later site, so many upstream latents that are estimated to drive them join."""

MATCHED = 3
"""Random latents that match each one that is ablated; those of a site together are its null."""

NEAREST = 8
"""A match is drawn from so many latents that are closest in firing frequency and activation."""


class Setting(NamedTuple):
    """Model, read-out and dictionaries of one circuit."""

    encoder: Encoder
    sites: Sequence[Site]
    """In the order of the run."""

    references: dict[str, Reference]
    readout: Readout
    compute: Compute
    tokens_per_batch: int | None = None


class Sample(NamedTuple):
    """Sequences on which a circuit is traced or tested."""

    encodings: Sequence[Encoding]
    contrast: Contrast


class Candidates(NamedTuple):
    """What the screen proposes."""

    ranking: pd.DataFrame
    """Every node by descending |estimate|: columns site, latent (`ERROR` for the error node), estimate."""

    nodes: dict[str, Int[ndarray, "node"]]
    """By site: latents to ablate."""

    targets: dict[str, Int[ndarray, "target"]]
    """By site: latents whose sources are sought."""


def clean_contrast(setting: Setting, sample: Sample) -> float:
    """The behaviour in the unaltered model: what the weights of edges to it are parts of."""
    encoder, sites, _, readout, compute, budget = setting
    figures = np.zeros(len(sample.encodings))
    for clean in clean_runs(encoder, sites[:1], sample.encodings, readout, compute, budget):
        figures[clean.rows] = clean.readout.double().cpu().numpy()
    return float(sample.contrast.of(figures))


def screen(setting: Setting, sample: Sample) -> Candidates:
    """Rank all nodes of all sites by their estimated effect on the behaviour, and choose those to ablate."""
    estimates = attribution(setting, sample)
    ranking = rank_nodes(estimates)
    targets = {site.name: _largest(estimates[site.name].latents, CONFIRMED) for site in setting.sites}
    nodes = {name: set(latents.tolist()) for name, latents in targets.items()}
    for upstream, downstream in _pairs(setting.sites):
        aims = targets[downstream.name][:AIMS]
        for row in _edge_estimates(setting, upstream, downstream, aims, sample):
            nodes[upstream.name] |= set(_largest(row, SOURCES).tolist())
    return Candidates(
        ranking, {name: np.array(sorted(latents), dtype=np.int64) for name, latents in nodes.items()}, targets
    )


def attribution(setting: Setting, sample: Sample) -> dict[str, Attribution]:
    """First-order estimate of every node's effect on the behaviour."""
    encoder, sites, references, readout, compute, budget = setting
    weights = sample.contrast.weights()
    return attribute_behaviour(encoder, sites, references, sample.encodings, readout, weights, compute, budget)


def rank_nodes(estimates: Mapping[str, Attribution]) -> pd.DataFrame:
    """Every node by descending |estimate|; equal ones in the order of sites and latents."""
    parts = [
        pd.DataFrame(
            {"site": name, "latent": [*range(len(of.latents)), ERROR], "estimate": np.append(of.latents, of.error)}
        )
        for name, of in estimates.items()
    ]
    nodes = pd.concat(parts, ignore_index=True)
    order = np.argsort(-nodes["estimate"].abs().to_numpy(), kind="stable")
    return nodes.iloc[order].reset_index(drop=True)


def matched_latents(
    reference: Reference, chosen: Int[ndarray, "latent"], each: int, rng: np.random.Generator
) -> Int[ndarray, "match"]:
    """Random latents that fire about as often and as strongly as the chosen ones, each taken once.

    Drawn from the nearest in log frequency and log mean activation, both in standard deviations over active latents.
    """
    if not len(chosen):
        return np.zeros(0, dtype=np.int64)
    frequency = reference.frequency.cpu().numpy().astype(float)
    active = np.flatnonzero(frequency > 0)
    place = np.log(np.stack([frequency[active], reference.active_mean.cpu().numpy()[active].astype(float)]))
    place = place / np.maximum(place.std(axis=1, keepdims=True), 1e-12)
    free = ~np.isin(active, chosen)
    taken: list[int] = []
    for latent in [latent for latent in chosen for _ in range(each)]:
        at = np.flatnonzero(active == latent)
        if not len(at) or not free.any():
            continue
        match = int(rng.choice(nearest(np.square(place - place[:, at]).sum(0), free, NEAREST)))
        free[match] = False
        taken.append(int(active[match]))
    return np.array(sorted(taken), dtype=np.int64)


class Trace(NamedTuple):
    """A circuit's edges, measured by ablation."""

    edges: pd.DataFrame
    """One row per edge: columns of `tables/feature_circuit_edges.csv` (docs/methods.md, Feature circuits)."""

    agreement: dict[str, float]
    """Spearman correlation of estimate and exact weight over the edges of each kind and site."""


def confirm(
    setting: Setting, candidates: Candidates, sample: Sample, resamples: Resamples, rng: np.random.Generator
) -> Trace:
    """Ablate every candidate, and latents that match it, on sequences that took no part in the choice."""
    of_behaviour = attribution(setting, sample)
    parts: list[Edges] = []
    for site in setting.sites:
        chosen = candidates.nodes[site.name]
        nodes = np.append(chosen, ERROR)
        matched = matched_latents(setting.references[site.name], chosen, MATCHED, rng)
        watched = {down: candidates.targets[down.name] for up, down in _pairs(setting.sites) if up is site}
        later = {down: targets for down, targets in watched.items() if len(targets)}
        own, null = (_ablate(setting, site, part, later, sample) for part in (nodes, matched))
        edges = behaviour_edges(site.name, nodes, own, null, sample.contrast, resamples)
        estimates = np.append(of_behaviour[site.name].latents[chosen], of_behaviour[site.name].error)
        parts.append(_with_estimates(edges, estimates))
        for other, targets in later.items():
            edges = feature_edges(site.name, other.name, nodes, targets, own, null, resamples)
            of_latents = _edge_estimates(setting, site, other, targets, sample)[:, chosen].T
            unknown = np.full((1, len(targets)), np.nan)
            parts.append(_with_estimates(edges, np.concatenate([of_latents, unknown]).ravel()))
    return Trace(judge(parts), dict(map(_agreement, parts)))


def _pairs(sites: Sequence[Site]) -> list[tuple[Site, Site]]:
    return [(up, down) for place, up in enumerate(sites) for down in sites[place + 1 :]]


def _largest(estimates: Float[ndarray, "latent"], count: int) -> Int[ndarray, "some"]:
    """Latents with the largest |estimate|, silent ones excluded."""
    order = np.argsort(-np.abs(estimates), kind="stable")[:count]
    largest: Int[ndarray, "some"] = order[estimates[order] != 0]
    return largest


def _edge_estimates(
    setting: Setting, upstream: Site, downstream: Site, targets: Int[ndarray, "target"], sample: Sample
) -> Float[ndarray, "target d_sae"]:
    encoder, _, references, readout, compute, budget = setting
    reference = references[upstream.name]
    return attribute_latents(
        encoder, upstream, downstream, reference, targets, sample.encodings, readout, compute, budget
    )


def _ablate(
    setting: Setting, site: Site, nodes: Int[ndarray, "node"], later: dict[Site, Int[ndarray, "target"]], sample: Sample
) -> Ablations:
    encoder, _, references, readout, compute, budget = setting
    reference = references[site.name]
    return ablate_nodes(encoder, site, reference, nodes, later, sample.encodings, readout, compute, budget)


def _with_estimates(edges: Edges, estimates: Float[ndarray, "edge"]) -> Edges:
    return edges._replace(table=edges.table.assign(estimate=estimates))


def _agreement(edges: Edges) -> tuple[str, float]:
    """What the edges are, and the rank correlation of their estimates and weights."""
    known = edges.table.dropna(subset=["estimate"])
    kind, source, target = edges.table[["kind", "source_site", "target_site"]].iloc[0]
    return f"{kind} {source} {target}".strip(), float(spearmanr(known["estimate"], known["weight"]).statistic)
