"""Files of a published sparse autoencoder: its tensors and what its configuration says. Nothing in them is executed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from torch import Tensor

from mints.errors import MintsError
from mints.models.weights import read_weights

WEIGHTS = ("sae_weights.safetensors", "sae.safetensors", "ae.pt", "checkpoint.pt")
"""Names that the libraries give to weights; a folder without one of these must hold one file of weights alone."""

ENDINGS = (".safetensors", ".pt")

CONFIGURATIONS = ("cfg.json", "config.json", "config.yaml")


class DictionaryFiles(NamedTuple):
    """What lies in a dictionary's folder."""

    weights: Path
    """The file of the tensors."""

    tensors: dict[str, Tensor]
    """Under the names of the library that wrote them, on the CPU."""

    configuration: dict[str, Any]
    """Content of the configuration beside the weights; empty where there is none."""


def read_dictionary_files(path: Path) -> DictionaryFiles:
    """Tensors and configuration of a dictionary's folder, or of its file of weights and what lies beside it.

    Pickled weights are read as tensors only. Raises MintsError, naming the file, for weights that are missing,
    damaged, ambiguous or anything but tensors, and for a configuration that cannot be read.
    """
    weights = path if path.is_file() else _weights_of(path)
    return DictionaryFiles(weights, read_weights([weights]).tensors, _configuration_beside(weights))


def _weights_of(folder: Path) -> Path:
    if not folder.is_dir():
        raise MintsError(f"{folder} does not exist")
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    found = sorted(file for file in folder.iterdir() if file.suffix in ENDINGS)
    if len(found) == 1:
        return found[0]
    if found:
        raise MintsError(f"{folder} holds several dictionaries: name one of {_listed(found)}")
    raise MintsError(f"{folder} holds no dictionary: expected one of {', '.join(WEIGHTS)}, or one other {ENDINGS[0]}")


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(file.name for file in files)


class PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values alone. Where a file asks for an object of Python, as InterPLM's do for paths, the values that the
    object would have been made from stand in its place; nothing is imported or called.
    """

    def plain(self, _: str, node: yaml.Node) -> Any:
        """Values below a tag of Python."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_scalar(node)


PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", PlainLoader.plain)


def _configuration_beside(weights: Path) -> dict[str, Any]:
    path = next((file for name in CONFIGURATIONS if (file := weights.parent / name).is_file()), None)
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, PlainLoader) if path.suffix == ".yaml" else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MintsError(f"{path} cannot be read as a dictionary's configuration: {reason}") from None
    if not isinstance(content, dict):
        raise MintsError(f"{path} is no dictionary's configuration: it holds no names")
    return content
