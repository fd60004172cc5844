"""Whenever a run is killed, the next one ends with the same bytes as one that was never disturbed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mints.pipeline.artifacts import read_json

# A child process that runs the study and kills itself: at the Nth rename of a file, before or after it, or in the Nth
# call of a shard's function.
CHILD = """
import os, signal, sys
from io import StringIO
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pebbles
from mints.pipeline.progress import Reporter
root, moment, count = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
calls = 0

def die_at_count():
    global calls
    calls += 1
    if calls == count:
        os.kill(os.getpid(), signal.SIGKILL)

rename, weigh_some = Path.replace, pebbles.weigh_some

def renaming(path, target):
    if moment == "before rename":
        die_at_count()
    rename(path, target)
    if moment == "after rename":
        die_at_count()

def weighing(shard):
    die_at_count()
    return weigh_some(shard)

if moment == "in a shard":
    pebbles.weigh_some = weighing
else:
    Path.replace = renaming
pebbles.pipeline(root, reporter=Reporter(stream=StringIO())).run()
"""


def killed(root, moment, count):
    """Run the study in a process that kills itself; whether it did."""
    arguments = [str(Path(__file__).parent), str(root), moment, str(count)]
    code = subprocess.run([sys.executable, "-c", CHILD, *arguments], check=False).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


def artifacts(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in ("beach", "tables", ".")
        for path in (root / folder).glob("*.*")
        if path.is_file() and not path.name.startswith(".") and path.name != "pipeline_run.json"
    }


@pytest.fixture
def undisturbed(study, tmp_path):
    study(tmp_path / "undisturbed").run()
    return artifacts(tmp_path / "undisturbed")


@pytest.mark.parametrize("moment", ["before rename", "after rename"])
@pytest.mark.parametrize("count", [1, 4, 5, 6, 12, 22])
def test_a_kill_around_a_rename_loses_nothing(study, root, undisturbed, moment, count):
    assert killed(root, moment, count)
    for name, content in artifacts(root).items():
        assert content == undisturbed[name], f"{name} is neither absent nor whole"
    study().run()
    assert artifacts(root) == undisturbed
    assert not list(root.rglob("*.tmp"))
    assert not (root / ".work").exists()


def test_a_kill_between_write_and_rename_leaves_the_previous_artifact_whole(study, root, undisturbed):
    study(seed=1).run()
    before = artifacts(root)
    assert killed(root, "before rename", 4)
    assert list(root.rglob(".grey.npz.*.tmp"))
    assert artifacts(root) == before
    study().run()
    assert artifacts(root) == undisturbed
    assert not list(root.rglob("*.tmp"))


def test_a_kill_in_mid_step_is_told_and_the_step_goes_on_at_its_shard(study, root, undisturbed, monkeypatch):
    import pebbles

    assert killed(root, "in a shard", 6)
    assert [status.state for status in study().status()] == ["complete", "failed", "missing", "missing"]
    assert study().status()[1].reason == "its last run was killed"
    assert len(list((root / ".work").rglob("*.npz"))) == 5
    asked = []
    weigh_some = pebbles.weigh_some
    monkeypatch.setattr(pebbles, "weigh_some", lambda shard: asked.append(1) or weigh_some(shard))
    summary = study().run()
    assert "ended without finishing" in summary.warnings[0]
    assert len(asked) == 3
    assert artifacts(root) == undisturbed
    assert not (root / ".work").exists()


def test_shards_of_another_configuration_are_not_used(study, root, tmp_path):
    assert killed(root, "in a shard", 6)
    study(scale={"offset": 2.0}).run()
    study(tmp_path / "other", scale={"offset": 2.0}).run()
    assert artifacts(root) == artifacts(tmp_path / "other")
    assert not (root / ".work").exists()


def test_the_account_of_a_killed_run_says_how_far_it_came(root):
    assert killed(root, "in a shard", 1)
    run = read_json(root / "pipeline_run.json")
    assert run["status"] == "running"
    assert [record["status"] for record in run["steps"]] == ["ran", "running", "pending", "pending"]
    assert (root / ".lock.json").exists()
