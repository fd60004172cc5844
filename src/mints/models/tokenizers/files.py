"""The files around a vocabulary that a checkpoint folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from mints.errors import MintsError
from mints.models.tokenizers.letters import KMER_ORDER

UNLIMITED = 10**9
"""Hugging Face writes 10^30 as the length of a model without a limit."""


def read_vocabulary(folder: Path) -> list[str]:
    """Lines of vocab.txt: the token of each id."""
    path = folder / "vocab.txt"
    if not path.is_file():
        raise MintsError(f"checkpoint {folder} has no vocab.txt, which holds its tokenizer")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise MintsError(f"{path} is not text") from None
    tokens = [line.strip() for line in lines]
    while tokens and not tokens[-1]:
        tokens.pop()
    if not tokens:
        raise MintsError(f"{path} is empty")
    return tokens


def read_max_tokens(folder: Path) -> int | None:
    """`model_max_length` of tokenizer_config.json; None where there is no such file or no limit."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return None
    length = read_json(path).get("model_max_length")
    return int(length) if length is not None and length < UNLIMITED else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MintsError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise MintsError(f"{path} is not a JSON object")
    return content


def write_vocabulary(
    folder: Path, vocabulary: Sequence[str], configuration: Mapping[str, Any], special: Mapping[str, str]
) -> None:
    """Write vocab.txt, tokenizer_config.json and special_tokens_map.json in the layout of the official checkpoints."""
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8", newline="\n")
    for name, content in (("tokenizer_config.json", configuration), ("special_tokens_map.json", special)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")


def all_kmers(k: int) -> list[str]:
    """Every k-mer in the order of the official vocabularies."""
    return ["".join(letters) for letters in product(KMER_ORDER, repeat=k)]
