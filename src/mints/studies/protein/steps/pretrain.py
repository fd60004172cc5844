"""Step of `--pretrain`: a small ESM-2-family model from a set of proteins, saved under official names."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step


@step(
    "pretrain",
    needs=["proteins/proteins.parquet"],
    makes=[
        "checkpoint/config.json",
        "checkpoint/model.safetensors",
        "checkpoint/{tokenizer_file}",
        "tables/training_curve.csv",
        "tables/pretraining_loss.csv",
        "figures/training_curve.png",
    ],
    reads=["pretraining", "device", "precision", "probe_bootstrap_samples", "probe_ci_level", "seed"],
)
def pretrain(run: Run) -> None:
    """Train a model on the training clusters of proteins, and hold its loss on test clusters against counts."""
    from mints.studies.protein.pretraining import run_pretrain

    run_pretrain(run)
