"""Step: every task becomes one checked table of sequences with splits and clusters."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.steps.simulate_genome import FILES


@step(
    "ingest",
    may_need=[f"simulated_genome/{name}" for name in FILES],
    makes=["tasks/{task}.parquet", "cards/{task}.json", "tables/tasks.csv"],
    reads=[
        "tasks",
        "genome",
        "signal",
        "blacklist",
        "validation_chromosomes",
        "test_chromosomes",
        "validation_share",
        "max_probe_train",
        "max_probe_test",
        "seed",
    ],
    opens=["tasks", "genome", "signal", "blacklist"],
    aliases=[
        "write_config",
        "ingest_hf_downstream",
        "download_encode_ctcf",
        "download_grch38",
        "prepare_ctcf_sequences",
    ],
)
def ingest(run: Run) -> None:
    """Read the task tables and peaks, check them, split them by chromosome, and say what they hold and lack."""
    from mints.studies.genomic.ingest import run_ingest

    run_ingest(run)
