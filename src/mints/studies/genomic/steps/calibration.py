"""Step: the sensitivity and the false-positive rate of the evidence stack in this model."""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS
from mints.studies.shared.fields import MODEL_FIELDS


def is_wanted(config: Any) -> bool:
    """Calibration takes minutes and needs a question whose sites are found by scanning."""
    return bool(config.calibrate and config.calibration_question)


@step(
    "calibration",
    needs=[
        "tasks/{calibrated_task}.parquet",
        "probes/{calibrated_task}.npz",
        "qk_alignment/{calibrated}_qk_alignment.csv",
        "counterfactuals/{calibrated}_pairs.csv",
    ],
    makes=[
        "calibration/planted_heads.csv",
        "calibration/null_heads.csv",
        "tables/calibration_detection.csv",
        "tables/calibration_false_positives.csv",
        "tables/calibration_sensitivity.csv",
        "figures/calibration.png",
    ],
    reads=[
        *MODEL_FIELDS,
        *EVIDENCE_FIELDS,
        "registered",
        "permuted_motifs",
        "probe_penalties",
        "tokens_per_batch",
        "calibrate",
        "calibration_question",
        "calibration_strengths",
        "calibration_heads",
        "calibration_sequences",
        "calibration_pairs",
        "calibration_replicates",
    ],
    opens=["model"],
    when=is_wanted,
)
def calibration(run: Run) -> None:
    """Plant detectors of graded strength, and look for detectors where there are none."""
    from mints.studies.genomic.calibration import run_calibration

    run_calibration(run)
