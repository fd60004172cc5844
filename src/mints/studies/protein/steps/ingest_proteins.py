"""Step: proteins become one checked table with clusters of like sequences and splits."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.steps.simulate_proteins import FILES


@step(
    "ingest_proteins",
    may_need=[f"simulated_proteins/{name}" for name in FILES],
    makes=["proteins/proteins.parquet", "tables/proteins.csv"],
    reads=["proteins", "scans", "max_protein_length", "validation_share", "test_share", "seed"],
    opens=["proteins", "scans"],
    when=lambda config: config.proteins is not None,
)
def ingest_proteins(run: Run) -> None:
    """Read the proteins, group near copies, and split whole groups, those of the scanned proteins to the test set."""
    from mints.studies.protein.ingest import run_ingest

    run_ingest(run)
