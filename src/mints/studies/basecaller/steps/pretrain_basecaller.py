"""Step of `--pretrain`: a small basecaller from simulated current, saved as Bonito saves its models."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step


@step(
    "pretrain_basecaller",
    makes=[
        "checkpoint/config.toml",
        "checkpoint/weights_1.tar",
        "tables/training_curve.csv",
        "tables/read_identity.csv",
        "figures/training_curve.png",
    ],
    reads=["training", "simulation", "device", "precision"],
)
def pretrain_basecaller(run: Run) -> None:
    """Train a small basecaller on simulated current and call held-out reads with what was saved."""
    from mints.studies.basecaller.pretraining import run_pretrain_basecaller

    run_pretrain_basecaller(run)
