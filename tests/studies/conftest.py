"""A small study that ran once, and copies of it to change."""

import json
import os
import shutil

import pytest
from filelock import FileLock
from small_study import CONFIGURATION, Outcome, Study, run_main


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A study that ran to its end once, in a process of its own and for all workers; do not change it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "study"
    study = Study(folder / "small.toml", folder / "results")
    told = folder / "outcome.json"
    with FileLock(f"{folder}.lock"):
        if not told.exists():
            folder.mkdir()
            study.configuration.write_text(CONFIGURATION)
            told.write_text(json.dumps(run_main(*study.flags)))
    outcome = Outcome(*json.loads(told.read_text()))
    assert outcome.code == 0, outcome.err
    return study, outcome


@pytest.fixture
def study(finished, tmp_path):
    """A copy of the finished study."""
    original, _ = finished
    shutil.copytree(original.results, tmp_path / "results")
    return Study(original.configuration, tmp_path / "results")
