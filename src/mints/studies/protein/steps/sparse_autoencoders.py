"""Step: sparse autoencoders of the sites that the study looks at."""

from __future__ import annotations

from mints.pipeline.run import Run
from mints.pipeline.step import step
from mints.studies.protein.fields import PROTEINS, has_proteins
from mints.studies.shared.fields import DICTIONARY_ARTIFACTS, DICTIONARY_FIELDS


@step(
    "sparse_autoencoders",
    needs=[PROTEINS],
    makes=DICTIONARY_ARTIFACTS,
    reads=DICTIONARY_FIELDS,
    opens=["model", "features.ready"],
    without_effect=["tokens_per_batch"],
    when=has_proteins,
)
def sparse_autoencoders(run: Run) -> None:
    """Train sparse autoencoders on the residues of training proteins, of the model and of an untrained twin."""
    from mints.studies.protein.material import protein_material
    from mints.studies.shared.sparse_autoencoders import run_sparse_autoencoders

    run_sparse_autoencoders(run, protein_material(run))
