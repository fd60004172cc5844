"""Weight files: which of a folder's files hold the weights, and their tensors. Nothing in a file is ever executed."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mints.errors import MintsError

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
NAMES = ("model.safetensors", "pytorch_model.bin", "model.pt")
COMPANION = "-contact-regression.pt"
"""End of the file in which fair-esm keeps a head that nothing here reads."""

REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class Weights(NamedTuple):
    """What weight files hold."""

    tensors: dict[str, Tensor]
    """Mapped from the files where their format allows: pages are read when they are used."""

    settings: dict[str, Any]
    """What a pickled file says of its model besides the tensors (fair-esm); otherwise empty."""


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder: one file, or the shards of an index; safetensors are preferred.

    A `.pt` file of any name is taken where it is the only one.
    """
    for index in INDEXES:
        if (folder / index).is_file():
            return _shards(folder, index)
    for name in NAMES:
        if (folder / name).is_file():
            return [folder / name]
    others = sorted(path for path in folder.glob("*.pt") if not path.name.endswith(COMPANION))
    if len(others) > 1:
        raise MintsError(f"checkpoint {folder} has several .pt files: name one of {', '.join(p.name for p in others)}")
    if others:
        return others
    raise MintsError(f"checkpoint {folder} has no weights: expected one of {', '.join(NAMES)}, or one .pt file")


def _shards(folder: Path, index: str) -> list[Path]:
    try:
        names = sorted(set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MintsError(f"{folder / index} is no index of weight files") from None
    if outside := [name for name in names if not isinstance(name, str) or Path(name).name != name]:
        raise MintsError(f"{folder / index} names files outside its folder: {outside[0]}")
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise MintsError(f"checkpoint {folder} lacks {', '.join(absent)}, which {index} names")
    return [folder / name for name in names]


def read_weights(files: Sequence[Path]) -> Weights:
    """Tensors of all files together, and the settings beside them. Raises MintsError naming the file at fault."""
    parts = [_read(file) for file in files]
    tensors = {name: tensor for part in parts for name, tensor in part.tensors.items()}
    settings = {name: value for part in parts for name, value in part.settings.items()}
    return Weights(tensors, settings)


def _read(path: Path) -> Weights:
    try:
        if path.suffix == ".safetensors":
            return Weights(load_file(path), {})
        loaded = _unpickled(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise MintsError(f"{path} cannot be read as weights: {_reason(error)}") from None
    table = loaded if isinstance(loaded, Mapping) else {}
    state = next((table[key] for key in ("state_dict", "model") if isinstance(table.get(key), Mapping)), table)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise MintsError(f"{path} does not hold a table of tensors")
    return Weights({str(name): tensor for name, tensor in state.items()}, _settings(table))


def _unpickled(path: Path) -> Any:
    """A pickle of tensors and plain values. A Namespace, in which fair-esm keeps its settings, is a plain value too:
    its attributes are set, and nothing is called.
    """
    with torch.serialization.safe_globals([Namespace]):
        # The format before torch 1.6 is no archive and cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _settings(table: Mapping[Any, Any]) -> dict[str, Any]:
    outer = table.get("cfg", table.get("args"))
    inner = outer.get("model") if isinstance(outer, Mapping) else outer
    if isinstance(inner, Namespace):
        return vars(inner)
    return dict(inner) if isinstance(inner, Mapping) else {}


def _reason(error: Exception) -> str:
    """One line of what went wrong; torch's own refusal has many, and advises to load the file unrestricted."""
    refused = REFUSED_GLOBAL.search(str(error))
    if refused:
        return f"it asks for {refused[1]}, which is not loaded: only tensors and plain values are"
    lines = str(error).strip().splitlines()
    first = lines[0] if lines and not isinstance(error, pickle.UnpicklingError) else type(error).__name__
    return f"damaged, or not tensors alone ({first})"
