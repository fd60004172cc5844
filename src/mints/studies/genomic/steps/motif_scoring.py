"""Step: where the motifs in question occur."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import has_questions
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "motif_scoring",
    needs=["tasks/{asked_task}.parquet"],
    makes=[
        "motif_scoring/{question}_motif.json",
        "motif_scoring/{question}_sites.csv",
        "motif_scoring/{dumped}_tokens.npz",
        "tables/motif_support.csv",
        "figures/motif_support.png",
    ],
    reads=[*MODEL_FIELDS, "motif_questions", "token_dump"],
    opens=["model"],
    when=has_questions,
)
def motif_scoring(run: Run) -> None:
    """Scan the sequences of every question on both strands, with exact p-values."""
    from mints.studies.genomic.motif_scoring import run_motif_scoring

    run_motif_scoring(run)
