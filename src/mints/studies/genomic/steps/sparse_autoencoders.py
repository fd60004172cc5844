"""Step: sparse autoencoders of the sites that the feature suite looks at."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.genomic.fields import FEATURE_WINDOW_FIELDS, has_dictionaries
from mints.studies.shared.fields import DICTIONARY_ARTIFACTS, DICTIONARY_FIELDS


@step(
    "sparse_autoencoders",
    may_need=["simulated_genome/genome.fa"],
    makes=DICTIONARY_ARTIFACTS,
    reads=[*DICTIONARY_FIELDS, *FEATURE_WINDOW_FIELDS],
    opens=["model", "genome", "features.corpus", "features.ready"],
    without_effect=["tokens_per_batch"],
    when=has_dictionaries,
)
def sparse_autoencoders(run: Run) -> None:
    """Train sparse autoencoders on the activations of every site, of the model and of an untrained twin."""
    from mints.studies.genomic.feature_windows import genomic_material
    from mints.studies.shared.sparse_autoencoders import run_sparse_autoencoders

    run_sparse_autoencoders(run, genomic_material(run))
