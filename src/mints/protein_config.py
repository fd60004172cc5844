"""The protein study's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mints.published_names import dictionary_of, find_scan, named_scans, scans_below
from mints.section import Location, Section, Share
from mints.study_config import StudyConfig


class Scan(Section):
    """A deep mutational scan: measured effects of the substitutions of one protein."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name of the protein in tables, in file names and on the command line (EPHB2_HUMAN)."""

    file: Location
    """Table with ProteinGym's columns: mutant, mutated_sequence, DMS_score, DMS_score_bin."""

    wild_type: Annotated[str, Field(pattern=r"^[ACDEFGHIKLMNPQRSTVWY]+$")] | None = None
    """Sequence of the protein, for a table without mutated_sequence."""


class ProteinSimulation(Section):
    """The simulated proteins of the embedded profile."""

    seed: int = 1
    """Seed of the families, the proteins and the scans; independent of the analysis seed."""

    proteins: PositiveInt = 6000
    """Number of proteins."""


class Behaviour(Section):
    """Something annotated that the model is asked to tell from decoys, and whose circuit of latents is traced."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    """Name in tables, graphs and file names."""

    kind: str
    """Kind of the annotation, as its file has it."""

    first: PositiveInt | None = None
    """Positions are so many residues from a protein's first one; default those of the feature."""

    core: PositiveInt | None = None
    """The so many residues of a feature that are most hydrophobic are what latents of other behaviours are held
    against; default all of it."""

    decoys_without: list[str] = []
    """Kinds, beside its own, that a protein must not have to give a decoy."""


TRANSMEMBRANE = Behaviour(name="tm", kind="Transmembrane", decoys_without=["Signal peptide"])
SIGNAL_PEPTIDE = Behaviour(name="sp", kind="Signal peptide", first=30, core=10)


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

    scans_dir: Path | None = None
    """Folder of ProteinGym tables, in place of `scans`: those that `protein` names, or all."""

    scan: list[Path] = []
    """Tables of scans, in place of `scans`; each is called by its file name."""

    protein: list[str] = []
    """Names of the scans that are looked at, or their beginnings (EPHB2_HUMAN); default all."""

    layers: list[PositiveInt] = []
    """Layers by ESM's numbers: 16 is what the sixteenth layer leaves, `blocks.15.hook_resid_post`; in place of
    `features.sites`."""

    mutations: PositiveInt | None = None
    """Cap on mutations of each scan whose latents are traced; correlations use all."""

    sae_dir: Location | None = None
    """Folder of published dictionaries (`esm2_plm1280_l16_sae4096.safetensors`), used at `layers` as they are, in place
    of `features.ready`; or a file or address with `{layer}` where the layer's number stands."""

    sae_k: PositiveInt | None = None
    """Latents per token of the dictionaries of `sae_dir`, whose files do not say it; default 32."""

    validation_share: Share = 0.15
    """Share of the clusters of like proteins on which everything is chosen."""

    test_share: Share = 0.15
    """Share of the clusters on which results are reported."""

    behaviours: list[Behaviour] = [TRANSMEMBRANE, SIGNAL_PEPTIDE]
    """What circuits are traced of, in proteins with annotation (`features.annotations`, the first of them)."""

    decoy_caliper: PositiveFloat = 0.05
    """Largest difference in mean hydropathy (Kyte and Doolittle) between a behaviour's residues and their decoy."""

    simulation: ProteinSimulation | None = None
    """Simulated proteins, where the profile has them."""

    @model_validator(mode="before")
    @classmethod
    def _own_scans_replace_the_profile_s(cls, values: dict[str, Any]) -> dict[str, Any]:
        tables = named_scans([Path(file) for file in values.get("scan") or []])
        if values.get("scans_dir"):
            tables |= scans_below(Path(values["scans_dir"]))
        named = values.get("protein") or []
        if tables:
            chosen = {name: find_scan(name, tables) for name in named} or tables
            return values | {"scans": [{"name": name, "file": file} for name, file in chosen.items()]}
        if not named:
            return values
        scans = {_field(scan, "name"): scan for scan in values.get("scans") or []}
        files = {name: Path(str(_field(scan, "file"))) for name, scan in scans.items()}
        by_file = dict(zip(files.values(), scans.values(), strict=True))
        return values | {"scans": [by_file[find_scan(name, files)] for name in named]}

    @model_validator(mode="before")
    @classmethod
    def _layers_and_their_dictionaries(cls, values: dict[str, Any]) -> dict[str, Any]:
        layers, folder = values.get("layers") or [], values.get("sae_dir")
        if folder and not layers:
            raise ValueError("--sae-dir needs --layers: whose dictionaries shall be taken from there?")
        if not layers:
            return values
        sites = {f"blocks.{int(layer) - 1}.hook_resid_post": int(layer) for layer in sorted(map(int, layers))}
        given = _field(values.get("features"), "ready") or []
        ready = [entry for entry in given if _field(entry, "site") in sites]
        if folder:
            files = {site: dictionary_of(layer, str(folder)) for site, layer in sites.items()}
            ready = [{"site": site, "file": file, "k": values.get("sae_k")} for site, file in files.items()]
        features = values.get("features") or {}
        plain = features if isinstance(features, dict) else features.model_dump()
        return values | {"features": plain | {"sites": list(sites), "ready": ready}}

    @model_validator(mode="after")
    def _scans_have_their_own_names(self) -> ProteinConfig:
        names = [scan.name for scan in self.scans]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two scans are called {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _behaviours_have_their_own_names(self) -> ProteinConfig:
        names = [behaviour.name for behaviour in self.behaviours]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two behaviours are called {', '.join(twice)}")
        return self


def _field(part: Any, name: str) -> Any:
    """A field of a section that may still be a plain table."""
    return part.get(name) if isinstance(part, dict) else getattr(part, name, None)
