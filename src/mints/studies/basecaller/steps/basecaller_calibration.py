"""Step: the sensitivity and the false-positive rate of the head sweep in this model."""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.shared.fields import MODEL_FIELDS


def is_wanted(config: Any) -> bool:
    """Planting takes pairs with two true sequences: simulated ones."""
    return bool(config.calibrate and config.levels is not None)


@step(
    "basecaller_calibration",
    needs=["patching/components.csv"],
    may_need=["simulated_signal/levels.tsv"],
    makes=[
        "calibration/planted_heads.csv",
        "calibration/null_heads.csv",
        "tables/basecaller_calibration.csv",
        "tables/basecaller_calibration_nulls.csv",
        "tables/basecaller_sensitivity.csv",
        "figures/basecaller_calibration.png",
    ],
    reads=[
        *MODEL_FIELDS,
        "levels",
        "patch_margin",
        "pair_samples",
        "calibrate",
        "calibration_pairs",
        "calibration_strengths",
        "calibration_heads",
        "calibration_permutations",
        "probe_bootstrap_samples",
        "probe_ci_level",
        "seed",
    ],
    opens=["levels", "model"],
    when=is_wanted,
    without_effect=["tokens_per_batch"],
)
def basecaller_calibration(run: Run) -> None:
    """Plant heads that carry the repeat count at graded strength, and look for heads where there are none."""
    from mints.studies.basecaller.calibration import run_basecaller_calibration

    run_basecaller_calibration(run)
