"""Step: mean-pooled residual vectors of every sequence, for the model and for its controls."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import VARIANTS
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "residual_cache",
    needs=["tasks/{task}.parquet"],
    makes=[f"activations/{{task}}_{variant}.npz" for variant in VARIANTS],
    reads=[*MODEL_FIELDS, "tasks", "tokens_per_batch", "probe_layers", "probe_layer", "seed"],
    opens=["model"],
    aliases=["circuit_extraction_and_residual_probing"],
)
def residual_cache(run: Run) -> None:
    """Cache mean residual vectors of the model, of a randomly initialised twin, and on shuffled sequences."""
    from mints.studies.genomic.residual_cache import run_residual_cache

    run_residual_cache(run)
