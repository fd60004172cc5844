"""Step: the verdict on every head."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import has_questions


@step(
    "evidence",
    needs=[
        "qk_alignment/{question}_qk_alignment.csv",
        "enrichment/{question}_qk_alignment_matched_attention_enrichment.csv",
        "patching/{question}_batch_activation_patching.csv",
    ],
    makes=["tables/evidence.csv", "tables/evidence_summary.csv", "figures/{question}_evidence.png"],
    reads=["motif_questions", "registered"],
    when=has_questions,
)
def evidence(run: Run) -> None:
    """Put every head's criteria beside one another, and call it a motif detector only where all agree."""
    from mints.studies.genomic.evidence import run_evidence

    run_evidence(run)
