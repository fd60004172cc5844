"""What a hub's repository holds of a checkpoint, and in which folder a checkpoint lies."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from mints.errors import MintsError
from mints.study_config import shipped_checkpoint

SETTINGS = ("config.json", "vocab.txt", "tokenizer*.json", "special_*.json")
WEIGHTS = (
    ("*.safetensors", "*.safetensors.index.json"),
    ("pytorch_model*.bin", "pytorch_model.bin.index.json"),
)
"""Kinds of weights, the best first: one kind is taken."""


def checkpoint_files(names: Iterable[str]) -> list[str]:
    """Of a repository's files, those that a checkpoint needs: settings and one kind of weights, never code."""
    top = sorted(name for name in names if "/" not in name)
    kinds = [[name for name in top if _is_any(name, kind)] for kind in WEIGHTS]
    weights = next((kind for kind in kinds if kind), [])
    return [*weights, *(name for name in top if _is_any(name, SETTINGS))]


def _is_any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def locate_checkpoint(location: str | Path) -> Path:
    """Folder that holds a checkpoint: itself, or one shipped with the package ("mints:NAME").

    Raises MintsError where there is no such folder or shipped checkpoint.
    """
    shipped = shipped_checkpoint(str(location))
    if shipped is None and not Path(location).is_dir():
        raise MintsError(f"checkpoint folder {location} does not exist")
    if shipped is not None and not shipped.is_dir():
        names = ", ".join(sorted(path.name for path in shipped.parent.glob("*/")))
        raise MintsError(f"no checkpoint {str(location)!r} is shipped: there are {names}")
    return shipped or Path(location)
