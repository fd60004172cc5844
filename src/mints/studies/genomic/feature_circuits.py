"""Step: which latents carry a task's probe and through which others, and what tracing finds of planted circuits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mints.errors import UsageError
from mints.features.circuit_curves import circuit_curves
from mints.features.circuit_sites import Site, in_order, measure_references
from mints.features.contrast import Contrast
from mints.features.feature_circuits import Sample, Setting, confirm, screen
from mints.features.feature_graph import Graph, clear_edges, make_graph, prune, to_circuit_tracer, to_viewer
from mints.features.planted_circuit import choose_pairs, planting_layer, planting_tokens
from mints.features.planted_recovery import Recovery, recover, recovery_table
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report import feature_circuits as figures
from mints.studies.genomic.probe_readouts import probe_readout
from mints.studies.genomic.questions import feature_question
from mints.studies.shared.dictionaries import open_autoencoder
from mints.studies.shared.models import OpenModel, open_model
from mints.studies.shared.resampling import resamples_of

REFERENCES = 4
"""Training sequences for each that is traced: means are taken and planted neurons fitted on them."""

PLANTED_REFERENCES, PLANTED_TRACED = 4, 2
"""One in so many training sequences gives the means of a planted model; one in so many test sequences is traced."""

STRENGTHS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Strengths of planted circuits."""

PLANTED = 6
"""Circuits that are planted at each strength."""


class Sequences(NamedTuple):
    """Sequences of one split, in equal shares from both labels."""

    encodings: list[Encoding]
    labels: np.ndarray
    clusters: np.ndarray

    def sample(self) -> Sample:
        """The probe separates their labels."""
        return Sample(self.encodings, Contrast.of_labels(self.labels))


def run_feature_circuits(run: Run) -> None:
    """Trace a circuit on validation sequences, measure it on test sequences, and recover planted ones."""
    model = open_model(run)
    asked = feature_question(run.config)
    table = run.load(f"tasks/{asked.task}.parquet")
    count = run.config.features.circuit_sequences
    reference = draw(run, model, table, "train", REFERENCES * count)
    tracing, testing = (draw(run, model, table, split, count) for split in ("validation", "test"))
    setting = open_setting(run, model, asked.task, reference)
    resamples = resamples_of(run, testing.clusters)
    candidates = screen(setting, tracing.sample())
    trace = confirm(setting, candidates, testing.sample(), resamples, run.rng("matched"))
    curves = circuit_curves(setting, candidates.ranking, testing.sample(), resamples, run.rng("random circuits"))
    trials = planted_trials(run, setting, reference, testing)
    run.save("tables/feature_circuit_edges.csv", trace.edges)
    run.save("tables/feature_circuit_curves.csv", curves)
    run.save("tables/planted_circuit.csv", trials)
    detection = recovery_table(trials, run.config.probe_ci_level)
    run.save("tables/planted_circuit_detection.csv", detection)
    run.fact("rank correlation of estimated and exact edges", trace.agreement)
    graph = make_graph(clear_edges(trace.edges), [site.name for site in setting.sites], asked.name)
    save_graph(run, setting, prune(graph, {}))
    run.figure("feature_circuit", figures.circuit_figure(trace.edges, question=asked.name.replace("_", " ")))
    run.figure("feature_circuit_curves", figures.curves_figure(curves, question=asked.name.replace("_", " ")))
    run.figure("planted_circuit", figures.planted_figure(trials, detection))


def draw(run: Run, model: OpenModel, table: pd.DataFrame, split: str, count: int) -> Sequences:
    """Sequences of a split at random, half of them of each label as far as there are."""
    rng, rows = run.rng(f"{split} sequences"), table[table["split"] == split]
    drawn = [
        of_label.iloc[np.sort(rng.permutation(len(of_label))[: max(1, count // 2)])]
        for _, of_label in rows.groupby("label")
    ]
    chosen = pd.concat(drawn)
    encodings = model.tokenizer.encode_many(chosen["sequence"].tolist())
    return Sequences(encodings, chosen["label"].to_numpy(dtype=int), chosen["cluster"].to_numpy())


def open_setting(run: Run, model: OpenModel, task: str, reference: Sequences) -> Setting:
    """Dictionaries, read-out and reference means."""
    sites = [
        Site(name, open_autoencoder(run, name).to(model.compute.device).requires_grad_(False))
        for name in run.config.features.sites
    ]
    readout = probe_readout(run, task, run.config.features.sites)
    sites = in_order(sites, model.encoder, readout)
    budget = run.config.tokens_per_batch
    means = measure_references(model.encoder, sites, reference.encodings, readout, model.compute, budget)
    return Setting(model.encoder, sites, means, readout, model.compute, budget)


def planted_trials(run: Run, setting: Setting, reference: Sequences, testing: Sequences) -> pd.DataFrame:
    """One row per planted circuit and strength; empty, with a warning, where the sites allow none."""
    try:
        planting_layer(setting.sites)
    except UsageError as error:
        run.warn(f"no planted circuit: {error}")
        return pd.DataFrame(columns=list(Recovery._fields))
    tokens = planting_tokens(setting, reference.encodings)
    few = reference.encodings[::PLANTED_REFERENCES]
    pairs = choose_pairs(setting, tokens, few, PLANTED, run.rng("planted pairs"))
    if len(pairs) < PLANTED:
        run.warn(f"{len(pairs)} circuits could be planted, not {PLANTED}: too few latents that one neuron can read")
    traced = testing.encodings[::PLANTED_TRACED]
    trials = [(strength, pair) for strength in STRENGTHS for pair in pairs]
    rows = [
        recover(setting, pair, strength, few, traced)
        for strength, pair in run.track(trials, description="planted circuits", unit="circuits")
    ]
    return pd.DataFrame(rows, columns=list(Recovery._fields))


def save_graph(run: Run, setting: Setting, graph: Graph) -> None:
    """The significant part of the circuit, in both schemas."""
    dictionaries = [site.autoencoder for site in setting.sites]
    meta = {"model": run.config.model_name, "d_sae": [dictionary.d_sae for dictionary in dictionaries]}
    run.save("circuits/feature_graph.json", to_viewer(graph, meta))
    tracer = to_circuit_tracer(graph, slug=f"feature-circuit-{graph.behaviour}", scan=run.config.model_name)
    run.save("circuits/feature_graph_circuit_tracer.json", tracer)
