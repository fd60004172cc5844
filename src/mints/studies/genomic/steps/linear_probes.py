"""Step: what is linearly decodable from the residual stream, layer by layer."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import PROBE_FIELDS


@step(
    "linear_probes",
    needs=["tasks/{task}.parquet", "activations/{task}_residual_mean.npz"],
    makes=[
        "tables/linear_probe_metrics.csv",
        "tables/linear_probe_reliability.csv",
        "probes/{task}.npz",
        "figures/linear_probe_layers.png",
        "figures/linear_probe_reliability.png",
    ],
    reads=PROBE_FIELDS,
)
def linear_probes(run: Run) -> None:
    """Fit a logistic probe per task and layer, with penalty and layer chosen on validation, and judge it on test."""
    from mints.studies.genomic.linear_probes import run_linear_probes

    run_linear_probes(run)
