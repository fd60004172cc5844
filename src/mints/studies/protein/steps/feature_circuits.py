"""Step: circuits of latents behind every behaviour, their evidence in proteins, and what tracing finds if planted."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.fields import (
    BEHAVIOUR_ARTIFACTS,
    BEHAVIOUR_FIELDS,
    PROTEINS,
    SIMULATED_ANNOTATION,
    has_circuits,
)
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import PLANTED_ARTIFACTS


@step(
    "feature_circuits",
    needs=[PROTEINS, *BEHAVIOUR_ARTIFACTS, *dictionary_files(site_folder("{site}")), "concepts/{site}_pairs.npz"],
    may_need=[SIMULATED_ANNOTATION],
    makes=[
        "circuits/{behaviour}_circuit_graph.json",
        "circuits/features_{behaviour}.json",
        "tables/feature_circuit_edges.csv",
        "tables/feature_circuit_curves.csv",
        "tables/circuit_masked_loss.csv",
        "tables/circuit_specificity.csv",
        "tables/circuit_overlap.csv",
        "figures/{behaviour}_circuit.png",
        "figures/{behaviour}_circuit_curves.png",
        "figures/{behaviour}_latent_tracks.png",
        "figures/circuit_specificity.png",
        *PLANTED_ARTIFACTS,
    ],
    reads=[*BEHAVIOUR_FIELDS, "model_name", "proteins", "features.sites", "features.k", "features.circuit_sequences"],
    opens=["model", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=has_circuits,
)
def feature_circuits(run: Run) -> None:
    """Trace the latents that carry every behaviour, show where they fire, and recover planted circuits."""
    from mints.studies.protein.feature_circuits import run_feature_circuits

    run_feature_circuits(run)
