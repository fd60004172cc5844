"""Step: whole reads are called and held against the truth."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "read_identity",
    needs=["signal/reads.npz"],
    makes=[
        "tables/read_identity.csv",
        "tables/read_identity_summary.csv",
        "tables/homopolymer_lengths.csv",
        "figures/homopolymer_lengths.png",
    ],
    reads=[*MODEL_FIELDS, "chunk_samples", "chunk_overlap", "probe_bootstrap_samples", "probe_ci_level", "seed"],
    opens=["model"],
    without_effect=["tokens_per_batch"],
)
def read_identity(run: Run) -> None:
    """Call whole reads and align them to their true sequences, homopolymer by homopolymer."""
    from mints.studies.basecaller.read_identity import run_read_identity

    run_read_identity(run)
