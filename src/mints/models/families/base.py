"""What a checkpoint family is: how to recognise it, read its configuration, and translate its tensor names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mints.errors import MintsError
from mints.models.architecture import Architecture
from mints.models.encoder import Encoder
from mints.models.known import known_checkpoint, nearest

QKV = ("query", "key", "value")

SIZES = {
    "vocabulary_size": "vocab_size",
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "d_mlp": "intermediate_size",
}
"""Sizes that every family's config.json gives under the same names."""


class Rule(NamedTuple):
    """One tensor of ours and the official tensors that make it, stacked along their first axis."""

    ours: str
    official: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """A checkpoint family."""

    name: str
    title: str
    """Name in messages."""

    reference: str
    """The checkpoint whose inventory is the standard."""

    prefix: str
    """Prefix of the encoder's tensors; files that leave it out are accepted."""

    architecture: Callable[[Mapping[str, Any], Mapping[str, Tensor]], Architecture]
    """From config.json and the tensors; raises KeyError for a missing setting."""

    configuration: Callable[[Architecture], dict[str, Any]]
    """The official config.json of an architecture."""

    rules: Callable[[Architecture], list[Rule]]
    """Every tensor that the model has."""

    recognises: Callable[[Mapping[str, Tensor]], bool]
    """Whether these (normalised) tensors are of this family."""

    ignored: tuple[str, ...] = ()
    """Patterns of official tensors that the model does not use."""

    tied: tuple[str, ...] = ()
    """Official names that repeat the embedding matrix when the head is tied; may be left out of a file."""

    def load(self, configuration: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> Encoder:
        """An encoder with exactly these weights, in float32 and evaluation mode.

        Raises MintsError naming every missing, unexpected or misshapen tensor.
        """
        tensors = normalise_names(tensors, self.prefix)
        if not self.recognises(tensors):
            raise MintsError(self._refusal(where, configuration, tensors))
        try:
            architecture = self.architecture(configuration, tensors)
        except KeyError as missing:
            raise MintsError(f"{where}/config.json has no {missing.args[0]!r}, which {self.title} needs") from None
        except (ValueError, TypeError) as error:
            raise MintsError(f"{where}/config.json is of no encoder: {error}") from None
        with torch.device("meta"):
            encoder = Encoder(architecture)
        expected = {name: tuple(parameter.shape) for name, parameter in encoder.state_dict().items()}
        state, missing_names, used = self._translate(architecture, tensors)
        misshapen = [
            f"{name} is {tuple(state[name].shape)}, not {expected[name]}"
            for name in state
            if tuple(state[name].shape) != expected[name]
        ]
        unexpected = [n for n in tensors if n not in used and not any(fnmatchcase(n, p) for p in self.ignored)]
        untied = [n for n in self.tied if n in unexpected and _is_tied(tensors[n], state, architecture)]
        unexpected = [n for n in unexpected if n not in untied]
        if missing_names or misshapen or unexpected:
            raise MintsError(self._complaint(where, configuration, missing_names, unexpected, misshapen))
        encoder.load_state_dict(state, assign=True)
        return encoder.eval()

    def official_state(self, encoder: Encoder) -> dict[str, Tensor]:
        """The encoder's weights under their official names."""
        state = encoder.state_dict()
        official: dict[str, Tensor] = {}
        for rule in self.rules(encoder.architecture):
            for name, part in zip(rule.official, state[rule.ours].chunk(len(rule.official)), strict=True):
                official[name] = part.detach().contiguous().clone()
        return official

    def _translate(
        self, architecture: Architecture, tensors: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], list[str], set[str]]:
        state: dict[str, Tensor] = {}
        missing: list[str] = []
        used: set[str] = set()
        for rule in self.rules(architecture):
            present = [name for name in rule.official if name in tensors]
            missing += [name for name in rule.official if name not in tensors]
            used.update(present)
            if len(present) == len(rule.official):
                parts = [tensors[name] for name in rule.official]
                if len({part.shape[1:] for part in parts}) == 1:
                    # A copy, so that the encoder owns its weights whatever becomes of the file they are mapped from.
                    state[rule.ours] = torch.cat(parts).float()
                else:
                    missing.append(f"{rule.official[0]} and its partners (their shapes differ)")
        return state, missing, used

    def _refusal(self, where: str, configuration: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
        """Why these tensors are not of this family at all, told by the inventory where the configuration allows."""
        try:
            names = {n for rule in self.rules(self.architecture(configuration, tensors)) for n in rule.official}
        except (KeyError, ValueError, IndexError, RuntimeError, StopIteration):
            found = f"its tensors are {some(sorted(tensors))}"
            return f"checkpoint {where} is not {self.title}: {found}; {self._expected(configuration)}"
        missing, unexpected = sorted(names - set(tensors)), sorted(set(tensors) - names)
        return self._complaint(where, configuration, missing, unexpected, [])

    def _complaint(
        self,
        where: str,
        configuration: Mapping[str, Any],
        missing: list[str],
        unexpected: list[str],
        misshapen: list[str],
    ) -> str:
        faults = tensor_faults(missing, unexpected, misshapen)
        return f"checkpoint {where} is not {self.title}: {faults}; {self._expected(configuration)}"

    def _expected(self, configuration: Mapping[str, Any]) -> str:
        """The published inventory to hold the file against: of its own sizes, or of the nearest ones."""
        near = nearest(self.name, configuration)
        if near is not None and not near.describes(configuration):
            return f"the nearest known checkpoint is {near.name}, of {near.tensors} tensors"
        known = near or known_checkpoint(self.reference)
        return f"expected the {known.tensors}-tensor inventory of {known.name}"


def sizes(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of an architecture, from config.json; raises KeyError for a missing one."""
    return {ours: configuration[official] for ours, official in SIZES.items()}


def official_sizes(architecture: Architecture) -> dict[str, int]:
    """The same sizes under their official names."""
    return {official: getattr(architecture, ours) for ours, official in SIZES.items()}


def normalise_names(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors without DataParallel's `module.`, and with the encoder's prefix where the file leaves it out."""
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if any(name.startswith(prefix) for name in plain):
        return plain
    encoder_parts = ("embeddings.", "encoder.", "pooler.", "contact_head.")
    return {(prefix + name if name.startswith(encoder_parts) else name): tensor for name, tensor in plain.items()}


def tensor_faults(missing: list[str], unexpected: list[str], misshapen: list[str]) -> str:
    """What is wrong with a table of tensors, in one line."""
    return ", ".join(
        f"{len(names)} {'tensor' if len(names) == 1 else 'tensors'} {kind} ({some(names)})"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
        if names
    )


def some(names: list[str], limit: int = 4) -> str:
    """The first few of a long list."""
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")


def layer_rules(architecture: Architecture, templates: Mapping[str, tuple[str, ...]], official: str) -> list[Rule]:
    """Rules of every layer: `templates` maps our name inside a block to official names inside `official`."""
    return [
        Rule(f"blocks.{layer}.{ours}", tuple(f"{official.format(layer=layer)}.{name}" for name in names))
        for layer in range(architecture.n_layers)
        for ours, names in templates.items()
    ]


def with_bias(ours: str, *official: str) -> dict[str, tuple[str, ...]]:
    """Template of a module's weight and bias."""
    return {f"{ours}.{part}": tuple(f"{name}.{part}" for name in official) for part in ("weight", "bias")}


def _is_tied(tensor: Tensor, state: Mapping[str, Tensor], architecture: Architecture) -> bool:
    return architecture.tied_head and torch.equal(tensor, state["embed.weight"])
