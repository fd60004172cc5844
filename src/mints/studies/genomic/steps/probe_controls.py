"""Step: every control beside the probe, from cached activations alone."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import PROBE_FIELDS


@step(
    "probe_controls",
    needs=[
        "tasks/{task}.parquet",
        "probes/{task}.npz",
        "activations/{task}_residual_mean.npz",
        "activations/{task}_random_initialisation.npz",
        "activations/{task}_shuffled.npz",
    ],
    makes=[
        "probes/{task}_test_scores.npz",
        "tables/linear_probe_controls.csv",
        "tables/beyond_composition.csv",
        "figures/linear_probe_controls.png",
    ],
    reads=[*PROBE_FIELDS, "probe_control_random_label_runs"],
)
def probe_controls(run: Run) -> None:
    """Measure what else could explain the probes: composition, position, chance, an untrained model, order."""
    from mints.studies.genomic.probe_controls import run_probe_controls

    run_probe_controls(run)
