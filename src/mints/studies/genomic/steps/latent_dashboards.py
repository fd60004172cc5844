"""Step: what single latents look like."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import FEATURE_WINDOW_FIELDS, has_dictionaries
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import DASHBOARD_FIELDS, NAMING_LATENTS, dashboard_file

GRAPHS = ("circuits/feature_graph.json",)


@step(
    "latent_dashboards",
    needs=dictionary_files(site_folder("{site}")),
    may_need=[
        "simulated_genome/genome.fa",
        "simulated_genome/truth.bed",
        "concepts/{site}_pairs.npz",
        *NAMING_LATENTS,
        *GRAPHS,
    ],
    makes=[dashboard_file("{site}")],
    reads=[*DASHBOARD_FIELDS, *FEATURE_WINDOW_FIELDS],
    opens=["model", "genome", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=has_dictionaries,
)
def latent_dashboards(run: Run) -> None:
    """Show the latents that other steps name: histogram, sequences, concepts, and the tokens that they promote."""
    from mints.studies.genomic.feature_windows import genomic_material
    from mints.studies.shared.latent_dashboards import run_latent_dashboards

    run_latent_dashboards(run, genomic_material(run), GRAPHS)
