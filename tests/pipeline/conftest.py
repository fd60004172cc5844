"""A toy study about pebbles on a beach, importable by tests and by the processes that they start."""

import sys
from io import StringIO
from pathlib import Path

import pytest

from mints.pipeline.progress import Reporter
from mints.pipeline.runner import Pipeline

sys.path.insert(0, str(Path(__file__).parent))

import pebbles  # noqa: E402


@pytest.fixture
def study(tmp_path):
    """Make the pebble pipeline in one results folder, with changed settings where given."""

    def make(root: Path = tmp_path / "results", **settings) -> Pipeline:
        return pebbles.pipeline(root, reporter=Reporter(stream=StringIO()), **settings)

    return make


@pytest.fixture
def root(tmp_path):
    return tmp_path / "results"
