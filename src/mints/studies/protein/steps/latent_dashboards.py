"""Step: what single latents look like in proteins."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.fields import PROTEINS, SIMULATED_ANNOTATION, has_proteins
from mints.studies.shared.dictionaries import dictionary_files, site_folder
from mints.studies.shared.fields import DASHBOARD_FIELDS, NAMING_LATENTS, dashboard_file


@step(
    "latent_dashboards",
    needs=[PROTEINS, *dictionary_files(site_folder("{site}"))],
    may_need=[
        SIMULATED_ANNOTATION,
        "concepts/{site}_pairs.npz",
        *NAMING_LATENTS,
        "circuits/{behaviour}_circuit_graph.json",
    ],
    makes=[dashboard_file("{site}")],
    reads=[*DASHBOARD_FIELDS, "behaviours"],
    opens=["model", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=has_proteins,
)
def latent_dashboards(run: Run) -> None:
    """Show the latents that other steps name: histogram, sequences, concepts, and the residues that they promote."""
    from mints.studies.protein.material import protein_material
    from mints.studies.shared.latent_dashboards import run_latent_dashboards

    graphs = [f"circuits/{behaviour.name}_circuit_graph.json" for behaviour in run.config.behaviours]
    run_latent_dashboards(run, protein_material(run), graphs)
