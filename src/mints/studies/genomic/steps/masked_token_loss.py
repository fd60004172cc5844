"""Step: does the model predict hidden tokens better than counting tokens does?"""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "masked_token_loss",
    needs=["tasks/{task}.parquet"],
    makes=["tables/masked_token_loss.csv", "figures/masked_token_loss.png"],
    reads=[
        *MODEL_FIELDS,
        "tasks",
        "genome",
        "test_chromosomes",
        "validation_chromosomes",
        "max_masked_tokens",
        "probe_bootstrap_samples",
        "probe_ci_level",
        "seed",
    ],
    opens=["model", "genome"],
)
def masked_token_loss(run: Run) -> None:
    """Compare the model's masked-token loss with the unigram and two-sided bigram floors on held-out sequence."""
    from mints.studies.genomic.masked_token_loss import run_masked_token_loss

    run_masked_token_loss(run)
