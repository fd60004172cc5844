"""Reading and writing checkpoints: official names in, exact weights out, and nothing in them is ever executed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from mints.errors import MintsError
from mints.locations import is_hub_id
from mints.models.encoder import Encoder
from mints.models.families import Family, choose_family
from mints.models.families.fair_esm import hub_configuration, hub_names, is_fair_esm
from mints.models.hub import locate_checkpoint
from mints.models.known import known_checkpoints, suggestion
from mints.models.tokenizers import ResidueTokenizer, Tokenizer, load_tokenizer
from mints.models.weights import Weights, read_weights, weight_files


class LoadedModel(NamedTuple):
    """An encoder with the tokenizer that it was trained with."""

    encoder: Encoder
    tokenizer: Tokenizer
    family: Family
    weights_sha256: str


def load_model(location: str, family: str = "auto") -> LoadedModel:
    """Load a checkpoint folder, a weights file with its folder, or a checkpoint shipped with MINTS ("mints:NAME").

    A `.pt` file of fair-esm needs nothing beside it. Raises MintsError for a checkpoint of the wrong family, naming
    every tensor that does not fit, and where the tokenizer's vocabulary is not the model's.
    """
    folder, files = _find(location)
    weights = read_weights(files)
    of_fair_esm = is_fair_esm(weights.tensors)
    if of_fair_esm:
        weights = Weights(hub_names(weights.tensors), weights.settings)
        configuration = hub_configuration(weights.tensors, weights.settings, location)
    else:
        configuration = read_configuration(folder)
    chosen = choose_family(family, weights.tensors, location)
    encoder = chosen.load(configuration, weights.tensors, location)
    # fair-esm keeps its alphabet in its code; it is the hub's.
    tokenizer = ResidueTokenizer.generate() if of_fair_esm else load_tokenizer(folder, chosen.name)
    if len(tokenizer.vocabulary) > encoder.architecture.vocabulary_size:
        raise MintsError(
            f"checkpoint {location}: the tokenizer has {len(tokenizer.vocabulary)} tokens,"
            f" the model {encoder.architecture.vocabulary_size}: they do not belong together"
        )
    return LoadedModel(encoder, tokenizer, chosen, _digest(files))


def save_model(
    folder: Path, encoder: Encoder, tokenizer: Tokenizer, family: Family, dtype: torch.dtype = torch.float32
) -> None:
    """Write config.json, model.safetensors (official names) and the tokenizer's official files."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = family.configuration(encoder.architecture)
    (folder / "config.json").write_text(json.dumps(configuration, indent=1) + "\n", encoding="utf-8")
    state = {name: tensor.to(dtype) for name, tensor in family.official_state(encoder).items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(folder)


def read_configuration(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint folder."""
    path = folder / "config.json"
    if not path.is_file():
        raise MintsError(f"checkpoint {folder} has no config.json")
    try:
        configuration = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MintsError(f"{path} is not JSON: {error}") from None
    if not isinstance(configuration, dict):
        raise MintsError(f"{path} is not a JSON object")
    return configuration


def _find(location: str) -> tuple[Path, list[Path]]:
    """The folder of a checkpoint and its weight files."""
    if Path(location).is_file():
        return Path(location).parent, [Path(location)]
    try:
        folder = locate_checkpoint(location)
    except MintsError as error:
        if not is_hub_id(location):
            raise
        known = location in known_checkpoints()
        hint = "fetch it first" if known else f"no published checkpoint is known by that name, {suggestion(location)}"
        raise MintsError(f"{error}: {hint}") from None
    return folder, weight_files(folder)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
