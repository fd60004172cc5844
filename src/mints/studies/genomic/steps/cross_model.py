"""Step: the same questions to several models."""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, PROBE_FIELDS, VARIANTS
from mints.studies.shared.fields import MODEL_FIELDS


def is_wanted(config: Any) -> bool:
    """There is another model."""
    return bool(config.compared_models)


@step(
    "cross_model_tokenization_comparison",
    needs=[
        "tasks/{task}.parquet",
        "probes/{task}_test_scores.npz",
        "tables/linear_probe_metrics.csv",
        "tables/beyond_composition.csv",
        "tables/masked_token_loss.csv",
        "qk_alignment/{question}_qk_alignment.csv",
        "qk_alignment/{question}_model_sums.npz",
        "enrichment/{question}_qk_alignment_matched_attention_enrichment.csv",
    ],
    makes=[
        *(f"cross_model/{{compared}}/activations/{{task}}_{variant}.npz" for variant in VARIANTS),
        "tables/cross_model_tokenization_comparison.json",
        "tables/cross_model_probes.csv",
        "tables/cross_model_differences.csv",
        "tables/cross_model_tokenization.csv",
        "tables/cross_model_masked_token_loss.csv",
        "tables/cross_model_alignment.csv",
        "tables/cross_model_alignment_summary.csv",
        "tables/cross_model_alignment_differences.csv",
        "tables/cross_model_checks.csv",
        "figures/cross_model_probes.png",
        "figures/cross_model_differences.png",
        "figures/cross_model_tokenization.png",
        "figures/cross_model_alignment.png",
    ],
    reads=[
        *MODEL_FIELDS,
        *PROBE_FIELDS,
        *EVIDENCE_FIELDS,
        "model_name",
        "compared_models",
        "compared_model_files",
        "published_probes",
        "probe_layers",
        "tokens_per_batch",
        "genome",
        "test_chromosomes",
        "validation_chromosomes",
        "max_masked_tokens",
        "max_qk_alignment_sequences",
        "max_cross_model_qk_alignment_sequences",
        "permuted_motifs",
        "registered",
    ],
    opens=["model", "compared_models", "genome"],
    when=is_wanted,
)
def cross_model_tokenization_comparison(run: Run) -> None:
    """Put other models to the same sequences, probes and controls; compare them per base, with paired intervals."""
    from mints.studies.genomic.cross_model import run_cross_model

    run_cross_model(run)
