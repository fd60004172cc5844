"""Step: what the heads do on a few sequences, for the page."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, has_questions
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "head_examples",
    needs=["tasks/{asked_task}.parquet", "tables/evidence.csv"],
    makes=[
        "head_examples/{question}_heads.csv",
        "head_examples/{question}_received.csv",
        "head_examples/{question}_tokens.npz",
        "head_examples/{question}_sequences.json",
        "head_examples/{question}_attention.npz",
    ],
    reads=[*MODEL_FIELDS, *EVIDENCE_FIELDS, "max_qk_alignment_sequences", "tokens_per_batch"],
    opens=["model"],
    when=has_questions,
)
def head_examples(run: Run) -> None:
    """Take alignment and enrichment apart: single tokens of every head, and sequences with what is attended to."""
    from mints.studies.genomic.head_examples import run_head_examples

    run_head_examples(run)
