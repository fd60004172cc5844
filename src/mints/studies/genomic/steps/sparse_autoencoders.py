"""Step: sparse autoencoders of the sites that the feature suite looks at."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.dictionaries import dictionary_files, site_folder
from mints.studies.genomic.fields import FEATURE_WINDOW_FIELDS, MODEL_FIELDS, has_dictionaries


@step(
    "sparse_autoencoders",
    may_need=["simulated_genome/genome.fa"],
    makes=[
        *dictionary_files(site_folder("{site}")),
        *dictionary_files(site_folder("{site}", untrained=True)),
        "tables/sparse_autoencoders.csv",
    ],
    reads=[
        *MODEL_FIELDS,
        "model_name",
        *FEATURE_WINDOW_FIELDS,
        "features.sites",
        "features.kind",
        "features.k",
        "features.expansion",
        "features.training_tokens",
        "features.batch",
        "features.learning_rate",
        "features.seed",
    ],
    opens=["model", "genome"],
    without_effect=["tokens_per_batch"],
    when=has_dictionaries,
)
def sparse_autoencoders(run: Run) -> None:
    """Train sparse autoencoders on the activations of every site, of the model and of an untrained twin."""
    from mints.studies.genomic.sparse_autoencoders import run_sparse_autoencoders

    run_sparse_autoencoders(run)
