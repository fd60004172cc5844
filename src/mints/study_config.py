"""What every study is configured by: the run, its model, and what is done with its features."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from mints.feature_config import Features
from mints.locations import CACHE, hub_folder, is_hub_id
from mints.section import Section, Share

RESULTS_PLACEHOLDER = "{results}"
"""In a profile's paths: the run's own results folder, where the simulated sources lie."""


SHIPPED = "mints:"
"""Prefix of checkpoints that come with the package."""


def shipped_checkpoint(model: str) -> Path | None:
    """Folder of a checkpoint of the package; None for any other model."""
    return (
        Path(str(files("mints"))) / "checkpoints" / model.removeprefix(SHIPPED) if model.startswith(SHIPPED) else None
    )


def checkpoint_folder(model: str, revision: str | None) -> Path | None:
    """Folder (or single file) of a checkpoint on this machine; None where it is not here."""
    place = shipped_checkpoint(model) or Path(model)
    if is_hub_id(model):
        place = CACHE / hub_folder("models", model, revision or "main")
    return place if place.exists() else None


Family = Literal["auto", "dnabert2", "nucleotide_transformer", "esm2", "bert"]


class Pretraining(Section):
    """Masked-language pretraining of a small encoder on any FASTA (`--pretrain`)."""

    family: Literal["dnabert2", "nucleotide_transformer", "esm2"] = "dnabert2"
    """DNABERT-2 (post-norm, ALiBi, byte pairs), Nucleotide Transformer v2 (pre-norm, rotary, fixed k-mers), or, of
    proteins, ESM-2 (pre-norm, rotary, residues, token dropout)."""

    genomes: list[Path] = []
    """FASTA files to train on; the profile's genome where none is given. Proteins are those of the study."""

    vocabulary: PositiveInt = 256
    """Size of the byte-pair vocabulary (DNABERT-2 family)."""

    kmer: PositiveInt = 6
    """Length of the fixed k-mers (Nucleotide Transformer family)."""

    d_model: PositiveInt = 128
    """Width of the residual stream."""

    layers: PositiveInt = 4
    """Number of layers."""

    heads: PositiveInt = 4
    """Attention heads per layer."""

    d_mlp: PositiveInt = 256
    """Width of the feed-forward, which is gated except in ESM-2."""

    context: PositiveInt = 94
    """Tokens of a training window, special tokens not counted; longer proteins are cropped to it."""

    batch: PositiveInt = 64
    """Windows per step."""

    steps: PositiveInt = 6000
    """Training steps."""

    masked_share: Share = 0.2
    """Share of the tokens that are hidden."""

    learning_rate: PositiveFloat = 2.5e-3
    """Peak learning rate, of Muon and AdamW alike."""

    heldout_share: Share = 0.05
    """Share of the sequence held out where no chromosome of a genome is named for test or validation; of proteins the
    clusters of validation and test are."""

    weights_dtype: Literal["float32", "float16"] = "float32"
    """Number format of the saved weights."""

    seed: int = 0
    """Seed of the weights, the masks and the order of the windows."""


Study = Literal["genomic", "protein", "basecaller"]


class StudyConfig(Section):
    """What the configurations of all studies have."""

    study: Study = "genomic"
    """What is asked: of models of DNA (genomic), of proteins, or of nanopore signal (basecaller)."""

    profile: str = "reference"
    """Profile to start from: embedded (simulated data, offline, minutes), reference (published models and data); the
    genomic study also has embedded_nt (a second model)."""

    results: Path = Path("results")
    """Folder of this run's artifacts; default results/PROFILE, of another study than genomic results/STUDY_PROFILE."""

    seed: int = 0
    """Seed of every random choice of the analyses."""

    model: str = "zhihan1996/DNABERT-2-117M"
    """Checkpoint folder, hub id, or a shipped checkpoint (mints:NAME)."""

    model_revision: str | None = None
    """Revision of a hub id: a commit, so that the results can be repeated."""

    model_sha256: dict[str, str] = {}
    """SHA-256 of a hub id's files, by file name; the other files are checked by what the hub states of them."""

    family: Family = "auto"
    """Checkpoint family; auto recognises it by its tensors."""

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Where the model runs."""

    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Precision of matrix products; auto takes bf16 only where the chip is fast at it."""

    tokens_per_batch: PositiveInt | None = None
    """Tokens, pads included, of one forward pass; default 2,048 on a CPU, 65,536 on a GPU."""

    probe_bootstrap_samples: PositiveInt = 1000
    """Bootstrap resamples of every interval; the unit is the sequence cluster."""

    probe_ci_level: Share = 0.95
    """Level of every interval."""

    features: Features = Features()
    """Sparse autoencoders and what is asked of them."""

    pretraining: Pretraining = Pretraining()
    """Recipe of --pretrain."""

    @property
    def model_files(self) -> Path | None:
        """Folder of a checkpoint on this machine: its content is part of what a result is made from."""
        return checkpoint_folder(self.model, self.model_revision)

    @property
    def model_name(self) -> str:
        """Name of the model in tables that hold several."""
        return self.model.removeprefix(SHIPPED).rstrip("/\\").replace("\\", "/").split("/")[-1]

    @model_validator(mode="before")
    @classmethod
    def _place_results(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Default results folder, and the placeholder for it in every path."""
        study, profile = (values.get(name, cls.model_fields[name].default) for name in ("study", "profile"))
        name = profile if study == "genomic" else f"{study}_{profile}"
        results = str(values.get("results", Path("results") / name))
        placed: dict[str, Any] = _replace(values, results)
        return placed | {"results": results}


def _replace(value: Any, results: str) -> Any:
    if isinstance(value, str):
        return value.replace(RESULTS_PLACEHOLDER, results)
    if isinstance(value, dict):
        return {key: _replace(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, results) for item in value]
    return value
