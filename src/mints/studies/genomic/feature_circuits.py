"""Step: which latents carry a task's probe and through which others, and what tracing finds of planted circuits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mints.features.contrast import Contrast
from mints.features.feature_circuits import Sample, Setting
from mints.features.feature_graph import Graph, to_circuit_tracer, to_viewer
from mints.models.tokenizers import Encoding
from mints.pipeline.run import Run
from mints.report import feature_circuits as figures
from mints.studies.genomic.probe_readouts import probe_readout
from mints.studies.genomic.questions import feature_question
from mints.studies.shared.feature_circuits import REFERENCES, open_setting, save_planted, trace_circuit
from mints.studies.shared.models import OpenModel, open_model
from mints.studies.shared.resampling import resamples_of


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
    readout = probe_readout(run, asked.task, run.config.features.sites)
    setting = open_setting(run, model, readout, reference.encodings)
    circuit = trace_circuit(run, setting, tracing.sample(), testing.sample(), resamples_of(run, testing.clusters))
    save_planted(run, setting, reference.encodings, testing.encodings)
    run.save("tables/feature_circuit_edges.csv", circuit.trace.edges)
    run.save("tables/feature_circuit_curves.csv", circuit.curves)
    run.fact("rank correlation of estimated and exact edges", circuit.trace.agreement)
    save_graph(run, setting, circuit.graph(setting.sites, asked.name))
    question = asked.name.replace("_", " ")
    run.figure("feature_circuit", figures.circuit_figure(circuit.trace.edges, question=question))
    run.figure("feature_circuit_curves", figures.curves_figure(circuit.curves, question=question))


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


def save_graph(run: Run, setting: Setting, graph: Graph) -> None:
    """The significant part of the circuit, in both schemas."""
    dictionaries = [site.autoencoder for site in setting.sites]
    meta = {"model": run.config.model_name, "d_sae": [dictionary.d_sae for dictionary in dictionaries]}
    run.save("circuits/feature_graph.json", to_viewer(graph, meta))
    tracer = to_circuit_tracer(graph, slug=f"feature-circuit-{graph.behaviour}", scan=run.config.model_name)
    run.save("circuits/feature_graph_circuit_tracer.json", tracer)
