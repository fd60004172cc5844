"""Fixtures that several test folders share."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared"


class Golden(NamedTuple):
    """A tiny random model of one family with what its reference implementation gave."""

    configuration: dict[str, Any]
    weights: dict[str, torch.Tensor]
    io: Mapping[str, torch.Tensor]


def pytest_collection_modifyitems(items):
    """For two workers: tests of one file stay together, and so do all of one finished study; the longest go first."""
    for item in items:
        of_study = "finished" in item.fixturenames
        item.add_marker(pytest.mark.xdist_group("finished study" if of_study else str(item.path)))
    items.sort(key=lambda item: "studies" not in item.path.parts)


@pytest.fixture(scope="session")
def golden():
    """Golden vectors by name."""

    def load(name: str) -> Golden:
        configuration = json.loads((GOLDEN / f"{name}.config.json").read_text())
        return Golden(
            configuration,
            load_file(GOLDEN / f"{name}.weights.safetensors"),
            load_file(GOLDEN / f"{name}.io.safetensors"),
        )

    return load


@pytest.fixture(scope="session")
def shared():
    """Folder of real public data beside the checkout; tests on it are skipped where it is not there."""
    if not (SHARED / "real").is_dir():
        pytest.skip("no shared data beside the checkout")
    return SHARED
