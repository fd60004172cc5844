"""Step: through which latents substitutions act, and whether these know more than the residue they sit on."""

from __future__ import annotations

from typing import Any

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.scans import SCAN_FILES, has_scans
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import MODEL_FIELDS


def _has_both(config: Any) -> bool:
    return has_scans(config) and bool(config.features.sites)


@step(
    "substitution_latents",
    needs=["substitutions/{scan}.csv"],
    may_need=[*SCAN_FILES, *dictionary_files(site_folder("{site}"))],
    makes=[
        "tables/latent_effects.csv",
        "tables/latent_sets.csv",
        "tables/integrated_gradients.csv",
        "tables/latent_dms.csv",
        "tables/universality.csv",
        "figures/latent_effects.png",
        "figures/latent_dms.png",
    ],
    reads=[
        *MODEL_FIELDS,
        "scans",
        "mutations",
        "features.sites",
        "features.ready",
        "probe_bootstrap_samples",
        "probe_ci_level",
        "seed",
    ],
    opens=["model", "scans", "features.ready"],
    when=_has_both,
)
def substitution_latents(run: Run) -> None:
    """Exchange latents between wild types and mutants; each protein and site is a piece of work of its own."""
    from mints.studies.protein.substitution_latents import run_substitution_latents

    run_substitution_latents(run)
