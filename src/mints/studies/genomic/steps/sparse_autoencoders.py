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
        *dictionary_files(site_folder("{site}") + "/{dictionary}"),
        "tables/sparse_autoencoders.csv",
        "tables/sparse_autoencoder_training.csv",
        "tables/sparse_autoencoder_seeds.csv",
        "figures/sparse_autoencoder_sweep.png",
        "figures/sparse_autoencoder_training.png",
    ],
    reads=[
        *MODEL_FIELDS,
        "model_name",
        *FEATURE_WINDOW_FIELDS,
        "features.sites",
        "features.kind",
        "features.k",
        "features.expansion",
        "features.seeds",
        "features.corpus",
        "features.ready",
        "features.training_tokens",
        "features.batch",
        "features.learning_rate",
        "features.seed",
        "probe_bootstrap_samples",
        "probe_ci_level",
    ],
    opens=["model", "genome", "features.corpus", "features.ready"],
    without_effect=["tokens_per_batch"],
    when=has_dictionaries,
)
def sparse_autoencoders(run: Run) -> None:
    """Train sparse autoencoders on the activations of every site, of the model and of an untrained twin."""
    from mints.studies.genomic.sparse_autoencoders import run_sparse_autoencoders

    run_sparse_autoencoders(run)
