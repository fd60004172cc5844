"""The published checkpoints that load by name: what their files hold, as data (known.toml)."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from mints.errors import UsageError

Dimensions = tuple[int | str, ...]
"""A shape in which some axes are named by a setting of config.json."""

SIZES = ("vocab_size", "hidden_size", "num_hidden_layers")
"""Settings by which a checkpoint is told from the others of its family."""


class KnownCheckpoint(NamedTuple):
    """A published checkpoint; known.toml says what each field means."""

    name: str
    """Name at the hub, OWNER/NAME."""

    family: str
    configuration: dict[str, Any]
    """Of its config.json, what is known for certain."""

    tensors: int
    """Tensors in the weights file."""

    parameters: int
    weights: str
    """Name of the weights file, or of the index of its shards."""

    marks: tuple[str, ...]
    unread: dict[str, Dimensions]
    buffers: dict[str, Dimensions]
    repeats: dict[str, str]
    evidence: str
    revision: str | None
    bytes: int | None
    sha256: str | None

    def describes(self, configuration: Mapping[str, Any]) -> bool:
        """Whether a configuration has this checkpoint's sizes."""
        return all(configuration.get(size) == self.configuration[size] for size in SIZES)


@cache
def known_checkpoints() -> dict[str, KnownCheckpoint]:
    """Every known checkpoint by name."""
    table = tomllib.loads((files("mints.models") / "known.toml").read_text(encoding="utf-8"))
    return {name: _checkpoint(name, entry, table["layouts"]) for name, entry in table["checkpoints"].items()}


def _checkpoint(name: str, entry: Mapping[str, Any], layouts: Mapping[str, Any]) -> KnownCheckpoint:
    layout = layouts[entry["layout"]]
    return KnownCheckpoint(
        name=name,
        family=layout["family"],
        configuration=layout["configuration"] | entry["configuration"],
        tensors=entry["tensors"],
        parameters=entry["parameters"],
        weights=entry.get("weights", layout["weights"]),
        marks=tuple(layout["marks"]),
        unread={tensor: tuple(shape) for tensor, shape in layout.get("unread", {}).items()},
        buffers={tensor: tuple(shape) for tensor, shape in layout.get("buffers", {}).items()},
        repeats=layout.get("repeats", {}),
        evidence=layout["evidence"],
        revision=entry.get("revision"),
        bytes=entry.get("bytes"),
        sha256=entry.get("sha256"),
    )


def known_checkpoint(name: str) -> KnownCheckpoint:
    """The checkpoint of this name. Raises UsageError naming the closest ones, or all."""
    table = known_checkpoints()
    if name not in table:
        raise UsageError(f"no known checkpoint is called {name!r}: {suggestion(name)}")
    return table[name]


def suggestion(name: str) -> str:
    """What a misspelt name may have meant: the closest known names, or all of them."""
    table = known_checkpoints()
    close = get_close_matches(name, table, n=2, cutoff=0.75)
    return f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(table)}"


def of_family(family: str) -> list[KnownCheckpoint]:
    """The known checkpoints of a family."""
    return [known for known in known_checkpoints().values() if known.family == family]


def nearest(family: str, configuration: Mapping[str, Any]) -> KnownCheckpoint | None:
    """The known checkpoint of a family whose sizes are nearest, by ratio; None where a size is not given."""
    if not all(isinstance(configuration.get(size), int) and configuration[size] > 0 for size in SIZES):
        return None

    def distance(known: KnownCheckpoint) -> float:
        return sum(abs(math.log(configuration[size] / known.configuration[size])) for size in SIZES)

    return min(of_family(family), key=distance, default=None)
