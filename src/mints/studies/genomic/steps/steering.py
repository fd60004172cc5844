"""Step: what raising a latent does to the prediction of a hidden motif token."""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, has_dictionaries, has_questions
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import MODEL_FIELDS


def has_dictionaries_and_questions(config: Any) -> bool:
    """Whether there are dictionaries to steer with, and motif sites to steer at."""
    return has_dictionaries(config) and has_questions(config)


@step(
    "steering",
    needs=[
        "tasks/{asked_task}.parquet",
        "motif_scoring/{question}_sites.csv",
        "motif_scoring/{question}_motif.json",
        *dictionary_files(site_folder("{site}")),
    ],
    makes=[
        "tables/steering.csv",
        "tables/steering_summary.csv",
        "tables/steering_latents.csv",
        "figures/steering.png",
    ],
    reads=[
        *MODEL_FIELDS,
        *EVIDENCE_FIELDS,
        "features.sites",
        "features.circuit_question",
        "features.steering_sites",
        "features.steering_doses",
    ],
    opens=["model"],
    without_effect=["tokens_per_batch"],
    when=has_dictionaries_and_questions,
)
def steering(run: Run) -> None:
    """Raise motif latents at many sites, dose by dose, against random directions and other latents."""
    from mints.studies.genomic.steering import run_steering

    run_steering(run)
