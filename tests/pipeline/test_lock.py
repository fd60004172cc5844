"""One run at a time in a results folder."""

import json
import os
import signal
import subprocess
import sys

import pytest

from mints.errors import MintsError
from mints.pipeline.lock import is_locked, locked

HOLD = """
import sys, time
from pathlib import Path
from mints.pipeline.lock import locked
with locked(Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "holding\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_told_who_is_at_work(tmp_path, holder):
    with (
        pytest.raises(MintsError, match=rf"in use by process {holder.pid} on .+ since 20.+: wait .* --results"),
        locked(tmp_path),
    ):
        pass
    assert is_locked(tmp_path)


def test_the_lock_of_a_killed_process_is_taken_over_and_said(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_locked(tmp_path)
    with locked(tmp_path) as takeover:
        assert f"process {holder.pid}" in takeover
        assert json.loads((tmp_path / ".lock.json").read_text())["pid"] == os.getpid()


def test_a_lock_that_was_given_back_is_silent(tmp_path):
    with pytest.raises(ValueError, match="broken"), locked(tmp_path):
        raise ValueError("broken")
    with locked(tmp_path) as takeover:
        assert takeover is None
    assert not is_locked(tmp_path)


def test_nobody_is_at_work_in_a_folder_that_is_not_there(tmp_path):
    assert not is_locked(tmp_path / "nowhere")
