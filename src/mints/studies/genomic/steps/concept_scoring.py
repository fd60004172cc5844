"""Step: which latents stand for which annotated concepts, held against every baseline."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.dictionaries import dictionary_files, site_folder
from mints.studies.genomic.fields import FEATURE_WINDOW_FIELDS, MODEL_FIELDS, has_dictionaries


@step(
    "concept_scoring",
    needs=[
        *dictionary_files(site_folder("{site}")),
        *dictionary_files(site_folder("{site}", untrained=True)),
    ],
    may_need=["simulated_genome/genome.fa", "simulated_genome/truth.bed"],
    makes=[
        "concepts/{site}_pairs.npz",
        "tables/concept_scores.csv",
        "tables/concept_summary.csv",
        "tables/concept_baselines.csv",
        "figures/concept_scores.png",
    ],
    reads=[
        *MODEL_FIELDS,
        *FEATURE_WINDOW_FIELDS,
        "features.sites",
        "features.annotations",
        "features.concept_windows",
        "features.concept_permutations",
        "probe_bootstrap_samples",
        "probe_ci_level",
    ],
    opens=["model", "genome", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=lambda config: has_dictionaries(config) and bool(config.features.annotations),
)
def concept_scoring(run: Run) -> None:
    """Score every latent against every annotated concept, with baselines, null and intervals."""
    from mints.studies.genomic.concept_scoring import run_concept_scoring

    run_concept_scoring(run)
