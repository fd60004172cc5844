"""Facts about the machine and the software of a run, for its manifest. None of them may influence a result."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "matplotlib",
    "pyfaidx",
    "pyBigWig",
    "pydantic",
)


def versions(release: str) -> dict[str, str]:
    """Versions of this software, Python and the installed packages that results can depend on."""
    found = {"mints": release, "python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def host() -> dict[str, Any]:
    """Name, operating system, processor and visible cores of this machine."""
    return {
        "name": platform.node(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }


def git_commit() -> str | None:
    """Commit of the checkout that this code lies in, with `-dirty` where files differ; None outside a checkout."""
    this_file = Path(__file__)
    # Installed into an environment inside somebody else's checkout, the code would report a foreign commit.
    if _git(this_file.parent, "ls-files", "--error-unmatch", this_file.name) is None:
        return None
    return _git(this_file.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def forget_peak_memory() -> None:
    """Start a new measurement where the operating system allows it; elsewhere the peak is that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process so far; None where it cannot be asked."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
