"""Reading and writing checkpoints: official names in, exact weights out, and nothing in them is ever executed."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mints.errors import MintsError
from mints.models.encoder import Encoder
from mints.models.families import Family, choose_family
from mints.models.hub import locate_checkpoint
from mints.models.tokenizers import Tokenizer, load_tokenizer

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.pt")


class LoadedModel(NamedTuple):
    """An encoder with the tokenizer that it was trained with."""

    encoder: Encoder
    tokenizer: Tokenizer
    family: Family
    weights_sha256: str


def load_model(location: str, family: str = "auto") -> LoadedModel:
    """Load a checkpoint folder, or a checkpoint shipped with MINTS ("mints:NAME").

    Raises MintsError for a checkpoint of the wrong family, naming every tensor that does not fit, and where the
    tokenizer's vocabulary is not the model's.
    """
    folder = locate_checkpoint(location)
    configuration = read_configuration(folder)
    files = weight_files(folder)
    tensors = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    chosen = choose_family(family, tensors, location)
    encoder = chosen.load(configuration, tensors, location)
    tokenizer = load_tokenizer(folder, chosen.name)
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
        configuration: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MintsError(f"{path} is not JSON: {error}") from None
    return configuration


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder: one file, or the shards of an index; safetensors are preferred."""
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index).is_file():
            shards = sorted(set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()))
            absent = [shard for shard in shards if not (folder / shard).is_file()]
            if absent:
                raise MintsError(f"checkpoint {folder} lacks {', '.join(absent)}, which {index} names")
            return [folder / shard for shard in shards]
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return [folder / name]
    raise MintsError(f"checkpoint {folder} has no weights: expected one of {', '.join(WEIGHT_FILES)}")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of one weight file. Pickled files are read with `weights_only`: anything but tensors is refused."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MintsError(f"{path} cannot be read as weights (damaged, or not tensors alone): {first_line}") from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise MintsError(f"{path} does not hold a table of tensors")
    return dict(state)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
