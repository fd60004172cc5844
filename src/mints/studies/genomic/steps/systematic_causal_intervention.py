"""Step: activation patching of every component, over all pairs."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, has_questions
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "systematic_causal_intervention",
    needs=[
        "probes/{asked_task}.npz",
        "counterfactuals/{question}_pairs.csv",
        "counterfactuals/{edited}_fixed_edit.csv",
        "counterfactuals/{natural}_natural_pairs.csv",
    ],
    makes=[
        "patching/{question}_batch_activation_patching.csv",
        "patching/{question}_components.csv",
        "patching/{question}_windows.csv",
        "patching/{question}_readouts.csv",
        "patching/{natural}_natural_pairs.csv",
        "patching/{edited}_single_pair_activation_patching.csv",
        "figures/{question}_batch_activation_patching_heatmap.png",
        "figures/{question}_components.png",
        "figures/{question}_window_map.png",
        "figures/{question}_attribution.png",
        "figures/{edited}_activation_patching_heatmap.png",
    ],
    reads=[*MODEL_FIELDS, *EVIDENCE_FIELDS, "registered", "tokens_per_batch"],
    opens=["model"],
    when=has_questions,
)
def systematic_causal_intervention(run: Run) -> None:
    """Patch layers, attention, feed-forward, heads and nucleotide windows, both ways, against their nulls."""
    from mints.studies.genomic.causal_intervention import run_causal_intervention

    run_causal_intervention(run)
