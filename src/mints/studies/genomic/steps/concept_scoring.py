"""Step: which latents stand for which annotated concepts, held against every baseline."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import FEATURE_WINDOW_FIELDS, has_dictionaries
from mints.studies.shared.fields import CONCEPT_ARTIFACTS, CONCEPT_FIELDS, dictionaries_and_twins, is_annotated


@step(
    "concept_scoring",
    needs=dictionaries_and_twins(),
    may_need=["simulated_genome/genome.fa", "simulated_genome/truth.bed"],
    makes=CONCEPT_ARTIFACTS,
    reads=[*CONCEPT_FIELDS, *FEATURE_WINDOW_FIELDS],
    opens=["model", "genome", "features.annotations"],
    without_effect=["tokens_per_batch"],
    when=lambda config: has_dictionaries(config) and is_annotated(config),
)
def concept_scoring(run: Run) -> None:
    """Score every latent against every annotated concept, with baselines, null and intervals."""
    from mints.studies.genomic.feature_windows import genomic_material
    from mints.studies.shared.concept_scoring import run_concept_scoring

    run_concept_scoring(run, genomic_material(run))
