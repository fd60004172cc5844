"""The protein study's configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from mints.section import Location, Section, Share
from mints.study_config import StudyConfig


class Scan(Section):
    """A deep mutational scan: measured effects of the substitutions of one protein."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name of the protein in tables, in file names and on the command line (EPHB2_HUMAN)."""

    file: Location
    """Table with ProteinGym's columns: mutant, mutated_sequence, DMS_score, DMS_score_bin."""


class ProteinSimulation(Section):
    """The simulated proteins of the embedded profile."""

    seed: int = 1
    """Seed of the families, the proteins and the scans; independent of the analysis seed."""

    proteins: PositiveInt = 6000
    """Number of proteins."""


class ProteinConfig(StudyConfig):
    """Everything that a result of the protein study depends on."""

    study: Literal["protein"] = "protein"
    """This study."""

    model: str = "facebook/esm2_t33_650M_UR50D"
    """Checkpoint folder, fair-esm `.pt` file, hub id, or a shipped checkpoint (mints:NAME)."""

    proteins: Location | None = None
    """FASTA of the proteins on which dictionaries are trained and circuits are traced, plain or gzip."""

    max_protein_length: PositiveInt = 1022
    """Residues of the longest protein that is taken; longer ones are left out, and counted."""

    scans: list[Scan] = []
    """Deep mutational scans."""

    protein: list[str] = []
    """Names of the scans that are looked at; default all."""

    layers: list[NonNegativeInt] = []
    """Layers by ESM's numbers: 16 is what the sixteenth layer leaves, `blocks.15.hook_resid_post`; in place of
    `features.sites`."""

    mutations: PositiveInt | None = None
    """Cap on mutations of each scan whose latents are traced; correlations use all."""

    sae_dir: Location | None = None
    """Folder of published dictionaries (`esm2_plm1280_l16_sae4096.safetensors`), used at `layers` as they are."""

    validation_share: Share = 0.15
    """Share of the clusters of like proteins on which everything is chosen."""

    test_share: Share = 0.15
    """Share of the clusters on which results are reported."""

    simulation: ProteinSimulation | None = None
    """Simulated proteins, where the profile has them."""
