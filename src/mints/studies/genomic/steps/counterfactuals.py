"""Step: pairs of sequences that differ in the motif alone."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import has_questions
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "counterfactuals",
    needs=["tasks/{asked_task}.parquet"],
    makes=[
        "counterfactuals/{question}_pairs.csv",
        "counterfactuals/{edited}_fixed_edit.csv",
        "counterfactuals/{natural}_natural_pairs.csv",
        "tables/counterfactual_yield.csv",
    ],
    reads=[*MODEL_FIELDS, "motif_questions", "max_patching_pairs", "genome", "seed"],
    opens=["model", "motif_questions", "genome"],
    when=has_questions,
)
def counterfactuals(run: Run) -> None:
    """Destroy the motif by the smallest edit that moves no token boundary; count what had to be refused."""
    from mints.studies.genomic.counterfactuals import run_counterfactuals

    run_counterfactuals(run)
