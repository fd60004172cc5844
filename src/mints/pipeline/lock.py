"""One run at a time in a results folder; a second one is told who is at work there."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from mints.errors import MintsError
from mints.pipeline.artifacts import read_json, write_json, written_atomically

LOCK = ".lock"
HOLDER = ".lock.json"
LOOK_SECONDS = 1.0
"""How long a starting run waits: longer than `is_locked`, which takes the lock for an instant to see whether it can."""


@contextmanager
def locked(root: Path) -> Iterator[str | None]:
    """Hold the lock of a results folder.

    Yields None, or a sentence where a process died while it held the lock (the operating system then frees it).
    Raises MintsError naming the holder where another process is at work there.
    """
    from filelock import FileLock, Timeout

    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=LOOK_SECONDS)
    except Timeout:
        raise MintsError(
            f"{root} is in use by {_describe(_holder(root))}: wait for it or choose another folder with --results"
        ) from None
    try:
        dead = _holder(root)
        with written_atomically(root / HOLDER) as temporary:
            write_json(temporary, _this_process())
        yield f"took over {root} from {_describe(dead)}, which ended without finishing" if dead else None
    finally:
        (root / HOLDER).unlink(missing_ok=True)
        lock.release()


def is_locked(root: Path) -> bool:
    """Whether a run is at work in the folder at this moment."""
    from filelock import FileLock, Timeout

    if not (root / HOLDER).exists():
        return False
    try:
        with FileLock(root / LOCK).acquire(timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _holder(root: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        note = read_json(root / HOLDER)
        return note if isinstance(note, dict) else None
    return None


def _describe(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "another process"
    return f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('started')}"


def _this_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
    }
