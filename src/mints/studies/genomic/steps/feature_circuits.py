"""Step: circuits of latents that carry a task's probe, and what tracing finds of circuits that were planted."""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, has_dictionaries, has_questions
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import MODEL_FIELDS


def is_wanted(config: Any) -> bool:
    """There are dictionaries at two sites or more, and a question whose probe is the behaviour."""
    return has_dictionaries(config) and has_questions(config) and len(config.features.sites) > 1


@step(
    "feature_circuits",
    needs=[
        "tasks/{feature_task}.parquet",
        "probes/{feature_task}.npz",
        *dictionary_files(site_folder("{site}")),
    ],
    makes=[
        "circuits/feature_graph.json",
        "circuits/feature_graph_circuit_tracer.json",
        "tables/feature_circuit_edges.csv",
        "tables/feature_circuit_curves.csv",
        "tables/planted_circuit.csv",
        "tables/planted_circuit_detection.csv",
        "figures/feature_circuit.png",
        "figures/feature_circuit_curves.png",
        "figures/planted_circuit.png",
    ],
    reads=[
        *MODEL_FIELDS,
        *EVIDENCE_FIELDS,
        "model_name",
        "genome",
        "tokens_per_batch",
        "features.sites",
        "features.circuit_sequences",
        "features.circuit_question",
    ],
    opens=["model"],
    when=is_wanted,
)
def feature_circuits(run: Run) -> None:
    """Trace the latents that carry a task's probe, test the circuit on other sequences, and recover planted ones."""
    from mints.studies.genomic.feature_circuits import run_feature_circuits

    run_feature_circuits(run)
