"""Step: a dictionary of the dictionary's decoder rows."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import FEATURE_WINDOW_FIELDS, has_dictionaries
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import MODEL_FIELDS


@step(
    "meta_sae",
    needs=dictionary_files(site_folder("{site}")),
    may_need=["simulated_genome/genome.fa", "simulated_genome/truth.bed"],
    makes=[
        *dictionary_files("meta_sae/{site}"),
        "tables/meta_sae.csv",
        "tables/meta_sae_children.csv",
        "tables/meta_sae_probe.csv",
        "figures/meta_sae.png",
    ],
    reads=[
        *MODEL_FIELDS,
        "model_name",
        *FEATURE_WINDOW_FIELDS,
        "features.sites",
        "features.annotations",
        "features.concept_windows",
        "features.meta_latents",
        "probe_penalties",
        "probe_bootstrap_samples",
        "probe_ci_level",
    ],
    opens=["model", "genome", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=has_dictionaries,
)
def meta_sae(run: Run) -> None:
    """Decompose decoder rows against random rows at equal sparsity, and probe concepts with the directions found."""
    from mints.studies.genomic.meta_sae import run_meta_sae

    run_meta_sae(run)
