"""Step: which latents stand for which annotation of residues, held against every baseline."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.fields import PROTEINS, SIMULATED_ANNOTATION, has_proteins
from mints.studies.shared.fields import CONCEPT_ARTIFACTS, CONCEPT_FIELDS, dictionaries_and_twins, is_annotated


@step(
    "concept_scoring",
    needs=[PROTEINS, *dictionaries_and_twins()],
    may_need=[SIMULATED_ANNOTATION],
    makes=CONCEPT_ARTIFACTS,
    reads=CONCEPT_FIELDS,
    opens=["model", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=lambda config: has_proteins(config) and is_annotated(config),
)
def concept_scoring(run: Run) -> None:
    """Score every latent against every annotated concept of residues, with baselines, null and intervals."""
    from mints.studies.protein.material import protein_material
    from mints.studies.shared.concept_scoring import run_concept_scoring

    run_concept_scoring(run, protein_material(run))
