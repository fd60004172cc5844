"""Step: the one pass of the attention statistics, and QK alignment from it."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, SUM_VARIANTS, has_questions
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "qk_alignment",
    needs=["tasks/{asked_task}.parquet"],
    makes=[
        "qk_alignment/{question}_qk_alignment.csv",
        *(f"qk_alignment/{{question}}_{variant}_sums.npz" for variant in SUM_VARIANTS),
        "tables/background_matching.csv",
        "figures/{question}_qk_alignment_pearson_heatmap.png",
        "figures/{question}_qk_alignment_ceiling.png",
    ],
    reads=[
        *MODEL_FIELDS,
        *EVIDENCE_FIELDS,
        "max_qk_alignment_sequences",
        "permuted_motifs",
        "tokens_per_batch",
        "registered",
    ],
    opens=["model"],
    aliases=["strict_mechanistic_proofs"],
    when=has_questions,
)
def qk_alignment(run: Run) -> None:
    """Correlate every head's key scores with motif scores, its nulls and its ceiling beside it."""
    from mints.studies.genomic.qk_alignment import run_qk_alignment

    run_qk_alignment(run)
