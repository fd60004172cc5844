"""Step: which latents carry a behaviour and through which others, where they fire, and whether they are its own."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from numpy import ndarray

from mints.analysis.bootstrap import Resamples
from mints.analysis.patching import ProbeLogit
from mints.features.circuit_names import ERROR, TO_BEHAVIOUR
from mints.features.contrast import Contrast
from mints.features.evaluation import hide
from mints.features.feature_circuits import MATCHED, Sample, Setting, clean_contrast, matched_latents
from mints.features.feature_graph import FEATURE, Graph, to_viewer
from mints.features.masked_loss import ablated_losses, loss_table, with_q
from mints.features.specificity import overlap_table
from mints.models.tokenizers import Tokenizer
from mints.pipeline.run import Run
from mints.protein_config import Behaviour
from mints.report import behaviours as evidence_figures
from mints.report import feature_circuits as figures
from mints.studies.protein.behaviours import named_encodings
from mints.studies.protein.circuit_evidence import Evidence, open_evidence
from mints.studies.protein.fields import PROTEINS
from mints.studies.shared.feature_circuits import (
    REFERENCES,
    TracedCircuit,
    open_setting,
    save_planted,
    trace_circuit,
)
from mints.studies.shared.models import OpenModel, open_model
from mints.studies.shared.resampling import resamples_of

LOSS_NODES = 8
"""Latents of each site with the largest estimated effect whose cost at hidden residues is measured."""

HIDDEN_SHARE = 0.15
"""Share of a behaviour's residues that are hidden for it."""

PLANTED_SHARE = 2
"""One in so many test proteins serves the planted circuits, which are counted at all residues of whole proteins."""


class Rows(NamedTuple):
    """Stretches of one split, half of them decoys."""

    table: pd.DataFrame
    sample: Sample
    resamples: Resamples

    @property
    def proteins(self) -> list[str]:
        """Accessions, row by row."""
        accessions: list[str] = self.table["accession"].tolist()
        return accessions


class Traced(NamedTuple):
    """A behaviour's circuit with what it was measured on."""

    setting: Setting
    testing: Rows
    circuit: TracedCircuit
    graph: Graph
    contrast: float
    """Mean logit over the behaviour's test stretches minus that over their decoys."""


def run_feature_circuits(run: Run) -> None:
    """Trace every behaviour on validation proteins and measure it on test proteins; evidence; planted circuits."""
    model = open_model(run)
    proteins: pd.DataFrame = run.load(PROTEINS)
    encoded = model.tokenizer.encode_many(reference_proteins(run, proteins))
    traced = {
        behaviour.name: trace(run, model, behaviour, encoded)
        for behaviour in run.track(run.config.behaviours, description="circuits", unit="behaviours")
    }
    save_tables(run, model.tokenizer, traced)
    evidence = open_evidence(run, model, proteins)
    for behaviour in run.config.behaviours:
        save_circuit(run, behaviour, traced[behaviour.name], evidence)
    specificity = pd.concat([specificity_of(run, name, traced, evidence) for name in traced], ignore_index=True)
    run.save("tables/circuit_specificity.csv", specificity)
    level = run.config.probe_ci_level
    run.figure("circuit_specificity", evidence_figures.specificity_figure(specificity, level=level))
    first = traced[run.config.behaviours[0].name]
    whole = model.tokenizer.encode_many(first.testing.table["sequence"].tolist()[::PLANTED_SHARE])
    save_planted(run, first.setting, encoded, whole)


def reference_proteins(run: Run, proteins: pd.DataFrame) -> list[str]:
    """Training proteins on which means are taken and planted neurons fitted."""
    training = proteins.loc[proteins["split"] == "train", "sequence"]
    count = REFERENCES * run.config.features.circuit_sequences
    chosen = np.sort(run.rng("reference proteins").permutation(len(training))[:count])
    return training.iloc[chosen].tolist()


def trace(run: Run, model: OpenModel, behaviour: Behaviour, reference: list[Any]) -> Traced:
    """One behaviour's circuit, ablated, read and counted at its residues and those of its decoys."""
    saved = run.load(f"behaviours/{behaviour.name}_probe.npz")
    readout = ProbeLogit(int(saved["layer"]), torch.from_numpy(saved["weights"]), float(saved["bias"]))
    setting = open_setting(run, model, readout, reference)
    tracing, testing = (draw(run, model.tokenizer, behaviour, split) for split in ("validation", "test"))
    circuit = trace_circuit(run, setting, tracing.sample, testing.sample, testing.resamples, label=f"{behaviour.name} ")
    run.fact(f"{behaviour.name}: rank correlation of estimated and exact edges", circuit.trace.agreement)
    run.fact(f"{behaviour.name}: latents that were ablated", sum(map(len, circuit.candidates.nodes.values())))
    graph = circuit.graph(setting.sites, behaviour.name)
    return Traced(setting, testing, circuit, graph, clean_contrast(setting, testing.sample))


def draw(run: Run, tokenizer: Tokenizer, behaviour: Behaviour, split: str) -> Rows:
    """At most `features.circuit_sequences` stretches of a split, whole pairs of a stretch and its decoy."""
    table: pd.DataFrame = run.load(f"behaviours/{behaviour.name}.parquet")
    table = table[table["split"] == split]
    pairs = run.rng(f"{behaviour.name} {split} pairs").permutation(table["pair"].nunique())
    kept = pairs[: max(1, run.config.features.circuit_sequences // 2)]
    table = table[table["pair"].isin(kept)].reset_index(drop=True)
    sample = Sample(named_encodings(tokenizer, table), Contrast.of_labels(table["label"].to_numpy()))
    return Rows(table, sample, resamples_of(run, table["cluster"].to_numpy()))


def save_tables(run: Run, tokenizer: Tokenizer, traced: dict[str, Traced]) -> None:
    """Edges, curves, cost at hidden residues, and latents that two behaviours share; all behaviours in one table."""

    def stacked(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([part.assign(behaviour=name)[["behaviour", *part]] for name, part in parts.items()])

    run.save("tables/feature_circuit_edges.csv", stacked({n: t.circuit.trace.edges for n, t in traced.items()}))
    run.save("tables/feature_circuit_curves.csv", stacked({n: t.circuit.curves for n, t in traced.items()}))
    losses = {name: masked_losses(run, tokenizer, name, each) for name, each in traced.items()}
    run.save("tables/circuit_masked_loss.csv", stacked(losses))
    overlaps = [overlap_of({name: traced[name] for name in pair}) for pair in combinations(traced, 2)]
    run.save("tables/circuit_overlap.csv", pd.concat(overlaps) if overlaps else pd.DataFrame(columns=["site"]))


def masked_losses(run: Run, tokenizer: Tokenizer, name: str, traced: Traced) -> pd.DataFrame:
    """What the leading latents and the error nodes are worth at hidden residues of the behaviour, on test proteins."""
    setting, (_, sample, resamples), circuit, _, _ = traced
    if setting.encoder.head is None:
        run.warn("the checkpoint has no masked-language head: no loss at hidden residues was measured")
        return pd.DataFrame(columns=["site", "latent"])
    hidden = hide(sample.encodings, tokenizer, HIDDEN_SHARE, run.rng(f"{name} hidden residues"))
    parts = []
    for site in setting.sites:
        chosen = leading_latents(circuit, site.name)
        rng = run.rng(f"{name} {site.name} matched in loss")
        matched = matched_latents(setting.references[site.name], chosen, MATCHED, rng)
        nodes = np.append(chosen, ERROR)
        own, null = (ablated_losses(setting, site, part, sample, tokenizer, hidden) for part in (nodes, matched))
        parts.append(loss_table(site.name, nodes, own, null, sample.contrast, resamples))
    return with_q(pd.concat(parts, ignore_index=True))


def leading_latents(circuit: TracedCircuit, site: str) -> Int[ndarray, "latent"]:
    """Latents of a site with the largest estimated effects on validation proteins."""
    ranking = circuit.candidates.ranking
    of_site = ranking[(ranking["site"] == site) & (ranking["latent"] != ERROR) & (ranking["estimate"] != 0)]
    return np.sort(of_site["latent"].to_numpy()[:LOSS_NODES])


def overlap_of(pair: dict[str, Traced]) -> pd.DataFrame:
    """Latents that two behaviours share, site by site."""
    edges, estimates = {}, {}
    for name, (_, _, circuit, _, _) in pair.items():
        edges[name] = circuit.trace.edges[circuit.trace.edges["kind"] == TO_BEHAVIOUR]
        latents = circuit.candidates.ranking[circuit.candidates.ranking["latent"] != ERROR]
        estimates[name] = {
            str(site): rows.sort_values("latent")["estimate"].to_numpy() for site, rows in latents.groupby("site")
        }
    references = next(iter(pair.values())).setting.references
    return overlap_table(edges, estimates, {site: int((of.frequency > 0).sum()) for site, of in references.items()})


def save_circuit(run: Run, behaviour: Behaviour, traced: Traced, evidence: Evidence) -> None:
    """A behaviour's graph and its latents' evidence in the viewer's schema, and their figures."""
    name, (setting, _, circuit, graph, contrast) = behaviour.name, traced
    dictionaries = [site.autoencoder for site in setting.sites]
    k = [each.k or int(run.config.features.k[0]) for each in dictionaries]
    meta = {"model": run.config.model_name, "d_sae": _one([each.d_sae for each in dictionaries]), "k": _one(k)}
    document = to_viewer(graph, meta)
    document["edges"] = [edge | {"sign": 1 if edge["weight"] > 0 else -1} for edge in document["edges"]]
    document["meta"]["contrast"] = contrast
    document["meta"]["largest_weight"] = {
        kind: max((abs(edge["weight"]) for edge in document["edges"] if edge["kind"] == kind), default=0.0)
        for kind in sorted({edge["kind"] for edge in document["edges"]})
    }
    run.save(f"circuits/{name}_circuit_graph.json", document)
    features = evidence.document(behaviour, [node for node in graph.nodes if node.kind == FEATURE])
    run.save(f"circuits/features_{name}.json", features)
    question = behaviour.kind.lower()
    run.figure(f"{name}_circuit", figures.circuit_figure(circuit.trace.edges, question=question))
    run.figure(f"{name}_circuit_curves", figures.curves_figure(circuit.curves, question=question))
    run.figure(f"{name}_latent_tracks", evidence_figures.tracks_figure(features, question=question))


def _one(values: list[int]) -> int | list[int]:
    """The value that all sites have, as published files say it; all of them where they differ."""
    return values[0] if len(set(values)) == 1 else values


def specificity_of(run: Run, name: str, traced: dict[str, Traced], evidence: Evidence) -> pd.DataFrame:
    """What the confirmed latents of a behaviour do on its decoys and on the cores of the other behaviours."""
    own = traced[name].testing.table
    regions = {name: own[own["label"] == 1], "decoys": own[own["label"] == 0]}
    for other in traced:
        if other != name:
            table = traced[other].testing.table
            regions[other] = table[table["label"] == 1]
    edges = traced[name].circuit.trace.edges
    parts = []
    for site in traced[name].setting.sites:
        to_behaviour = edges[(edges["kind"] == TO_BEHAVIOUR) & (edges["source_site"] == site.name)]
        to_behaviour = to_behaviour[to_behaviour["source"] != ERROR]
        table = evidence.specificity(run, name, site.name, regions, to_behaviour["source"].to_numpy(dtype=int))
        weights = to_behaviour[["source", "weight", "low", "high", "q"]].rename(columns={"source": "latent"})
        table = weights.merge(table, on="latent")
        table.insert(0, "site", site.name)
        table.insert(0, "behaviour", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)
