"""Step: attention enrichment, from the pass that the alignment made."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, SUM_VARIANTS, has_questions


@step(
    "attention_enrichment",
    needs=[f"qk_alignment/{{question}}_{variant}_sums.npz" for variant in SUM_VARIANTS],
    makes=[
        "enrichment/{question}_qk_alignment_matched_attention_enrichment.csv",
        "figures/{question}_qk_alignment_matched_attention_enrichment_rho_heatmap.png",
    ],
    reads=[*EVIDENCE_FIELDS, "registered"],
    when=has_questions,
)
def attention_enrichment(run: Run) -> None:
    """Compare the attention that motif tokens receive with that of matched background tokens."""
    from mints.studies.genomic.attention_enrichment import run_attention_enrichment

    run_attention_enrichment(run)
