"""A small study that ran once, and copies of it to change."""

import shutil

import pytest
from small_study import CONFIGURATION, Study


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A study that ran to its end once; do not change it."""
    folder = tmp_path_factory.mktemp("study")
    configuration = folder / "small.toml"
    configuration.write_text(CONFIGURATION)
    study = Study(configuration, folder / "results")
    outcome = study.run()
    assert outcome.code == 0, outcome.err
    return study, outcome


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished study."""
    original, _ = finished
    shutil.copytree(original.results, tmp_path / "results")
    return Study(original.configuration, tmp_path / "results")
