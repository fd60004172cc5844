"""Step: reads of POD5 files or arrays become normalised signal."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step


@step(
    "ingest_signal",
    may_need=["simulated_signal/reads.npz"],
    makes=["signal/reads.npz", "tables/reads.csv"],
    reads=[
        "reads",
        "read_ids",
        "sample_rate",
        "trim",
        "normalisation",
        "max_reads",
        "max_read_samples",
        "model",
        "model_files",
    ],
    opens=["reads", "model"],
)
def ingest_signal(run: Run) -> None:
    """Read the signal in pA, trim and normalise it as the model's configuration says, and split it by read."""
    from mints.studies.basecaller.ingest_signal import run_ingest_signal

    run_ingest_signal(run)
