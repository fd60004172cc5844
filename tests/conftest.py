"""Fixtures that several test folders share."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, settings
from safetensors.torch import load_file

GOLDEN = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared"


# Whether a test passes must not depend on how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


class Golden(NamedTuple):
    """A tiny random model of one family with what its reference implementation gave."""

    configuration: dict[str, Any]
    weights: dict[str, torch.Tensor]
    io: Mapping[str, torch.Tensor]


def pytest_collection_modifyitems(items):
    """For two workers that take file by file: the longest first, and those of the finished study once it is there."""
    of_study = {item.path for item in items if "finished" in item.fixturenames}

    def place(item):
        if item.path.name == "test_study.py":  # makes the study, and runs it several times more
            return 0
        if item.path in of_study:
            return 2
        return 1 if item.path.parent.name in ("studies", "page") else 3

    items.sort(key=place)


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
