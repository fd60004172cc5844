"""Kill -9 a run at random moments, resume it each time, and compare it byte by byte with an uninterrupted run.

    python benchmarks/kill_and_resume.py [--kills 20] [--seed 0] [-- flags of the run]

Two folders are filled: one without interruption, one whose run is killed so many times at moments drawn evenly over the
duration of the uninterrupted run (each kill hits what is running then, a step or the write of an artifact). Every CSV
and JSON artifact must agree; the manifests, which hold times, are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

MAIN = Path(__file__).parents[1] / "main.py"


def digests(results: Path) -> dict[str, str]:
    """SHA-256 of every CSV and JSON artifact below the results folder, manifests excluded."""
    paths = [path for suffix in ("csv", "json") for path in sorted(results.rglob(f"*.{suffix}"))]
    kept = [path for path in paths if "manifests" not in path.parts and path.name != "pipeline_run.json"]
    kept = [path for path in kept if not any(part.startswith(".") for part in path.relative_to(results).parts)]
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def command(results: Path, flags: list[str]) -> list[str]:
    """The run under test."""
    return [sys.executable, str(MAIN), "--results", str(results), "--quiet", *flags]


def main() -> None:
    """Run, kill, resume, compare; exits non-zero where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("flags", nargs="*", default=["--profile", "embedded"])
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with TemporaryDirectory() as folder:
        straight, killed = Path(folder) / "straight", Path(folder) / "killed"
        started = time.monotonic()
        subprocess.run(command(straight, arguments.flags), check=True, stdout=subprocess.DEVNULL)
        duration = time.monotonic() - started
        print(f"uninterrupted run: {duration:.0f} s", flush=True)
        # Each attempt lives for a random part of a run's share between kills, so that kills spread over all steps.
        hits = 0
        while hits < arguments.kills:
            process = subprocess.Popen(command(killed, arguments.flags), stdout=subprocess.DEVNULL)
            moment = rng.uniform(0.5, 2.5 * duration / arguments.kills + 4)
            try:
                process.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                hits += 1
                print(f"kill {hits} after {moment:.1f} s; artifacts so far: {len(digests(killed))}", flush=True)
                continue
            if process.returncode:
                sys.exit(f"a resumed run failed with exit code {process.returncode}")
            print("the run finished before the next kill; its folder is emptied and the kills go on", flush=True)
            check(straight, killed)
            for path in sorted(killed.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
        subprocess.run(command(killed, arguments.flags), check=True, stdout=subprocess.DEVNULL)
        check(straight, killed)


def check(straight: Path, killed: Path) -> None:
    """Compare the two folders."""
    expected, found = digests(straight), digests(killed)
    different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if different or not expected:
        sys.exit(f"{len(different)} of {len(expected)} artifacts differ: {', '.join(different[:10])}")
    print(f"all {len(expected)} CSV and JSON artifacts are byte-identical", flush=True)


if __name__ == "__main__":
    main()
