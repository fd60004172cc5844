"""What a published checkpoint's file holds, name by name, without the file and without memory for its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch

from mints.models.encoder import Encoder
from mints.models.families import FAMILIES
from mints.models.known import Dimensions, KnownCheckpoint, known_checkpoint

Shape = tuple[int, ...]


class Inventory(NamedTuple):
    """The tensors of a checkpoint's weights file under their official names."""

    read: dict[str, Shape]
    """Those that the encoder is made of."""

    unread: dict[str, Shape]
    """Parameters that it does not read: poolers, contact heads, unused tables of positions."""

    buffers: dict[str, Shape]
    """Constants, which are no parameters."""

    repeats: dict[str, Shape]
    """Second names of tensors of `read`."""

    @property
    def shapes(self) -> dict[str, Shape]:
        """Every tensor of the file."""
        return self.read | self.unread | self.buffers | self.repeats

    @property
    def parameters(self) -> int:
        """Number of parameters, each counted once."""
        return sum(math.prod(shape) for shape in (self.read | self.unread).values())


def official_inventory(name: str) -> Inventory:
    """Inventory of a known checkpoint, from the encoder that would load it. Raises UsageError for an unknown name."""
    known = known_checkpoint(name)
    family = FAMILIES[known.family]
    with torch.device("meta"):
        encoder = Encoder(family.architecture(known.configuration, dict.fromkeys(known.marks, torch.empty(0))))
    read = {tensor: tuple(value.shape) for tensor, value in family.official_state(encoder).items()}
    repeats = {second: read[first] for second, first in known.repeats.items()}
    return Inventory(read, _shapes(known, known.unread), _shapes(known, known.buffers), repeats)


def _shapes(known: KnownCheckpoint, templates: Mapping[str, Dimensions]) -> dict[str, Shape]:
    settings = known.configuration
    layers, heads = settings["num_hidden_layers"], settings["num_attention_heads"]
    words = settings | {
        "half_head": settings["hidden_size"] // heads // 2,
        "attention_maps": layers * heads,
    }
    return {
        name.format(layer=layer): tuple(words[axis] if isinstance(axis, str) else axis for axis in axes)
        for name, axes in templates.items()
        for layer in (range(layers) if "{layer}" in name else range(1))
    }
