"""Step: what substitutions do, through which latents, and whether those know more than the token they sit on."""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import EVIDENCE_FIELDS, has_dictionaries, has_questions
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import MODEL_FIELDS


def _has_both(config: Any) -> bool:
    return has_dictionaries(config) and has_questions(config)


@step(
    "feature_causality",
    needs=[
        *dictionary_files(site_folder("{site}")),
        "probes/{feature_task}.npz",
        "tasks/{feature_task}.parquet",
        "motif_scoring/{feature_question}_sites.csv",
        "counterfactuals/{feature_question}_pairs.csv",
    ],
    makes=[
        "features/substitution_effects.csv",
        "tables/substitution_summary.csv",
        "tables/latent_effects.csv",
        "tables/latent_sets.csv",
        "tables/integrated_gradients.csv",
        "tables/universality.csv",
        "figures/latent_effects.png",
        "figures/substitution_map.png",
    ],
    reads=[
        *MODEL_FIELDS,
        *EVIDENCE_FIELDS,
        "features.sites",
        "features.circuit_question",
        "features.substitution_sites",
    ],
    opens=["model"],
    when=_has_both,
)
def feature_causality(run: Run) -> None:
    """Exchange latents between clean and corrupted sequences, one by one and in sets; score every substitution."""
    from mints.studies.genomic.feature_causality import run_feature_causality

    run_feature_causality(run)
