"""Step: does any latent follow the motif from sequence to sequence?"""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, has_questions
from mints.studies.shared.dictionaries import dictionary_files
from mints.studies.shared.fields import MODEL_FIELDS

STREAMS = ("residual", "mlp")
"""What the search decomposes: the last layer's residual stream, and its feed-forward after the activation."""


@step(
    "distributed_feature_search",
    needs=["tasks/{asked_task}.parquet"],
    may_need=dictionary_files("sparse_autoencoders/{site}"),
    makes=[
        "distributed_features/{question}_sae_feature_alignment_top10.csv",
        "distributed_features/{question}_residual_mlp_activations.npz",
        *(
            name
            for stream in STREAMS
            for name in (
                *dictionary_files(f"distributed_features/{{question}}_{stream}_sae"),
                f"figures/{{question}}_{stream}_sae_top10_alignment.png",
            )
        ),
        "tables/distributed_feature_search.csv",
        "tables/distributed_feature_search.json",
        "figures/distributed_feature_search.png",
    ],
    reads=[
        *MODEL_FIELDS,
        "model_name",
        *EVIDENCE_FIELDS,
        "max_feature_search_sequences",
        "sae_epochs",
        "features.sites",
        "features.learning_rate",
        "features.seed",
    ],
    opens=["model"],
    without_effect=["tokens_per_batch"],
    when=has_questions,
)
def distributed_feature_search(run: Run) -> None:
    """Rank latents, neurons, components and directions by how they follow each motif over sequences."""
    from mints.studies.genomic.distributed_features import run_distributed_feature_search

    run_distributed_feature_search(run)
