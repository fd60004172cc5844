"""How the protein steps read the deep mutational scans of a run."""

from __future__ import annotations

from typing import Any

from mints.data.deep_mutational_scan import Scan, read_scan
from mints.locations import here
from mints.pipeline.run import Run

SCAN_FILES = ("simulated_proteins/dms/{scan}.csv", "simulated_proteins/truth/{scan}.csv")
"""Scans of the simulated proteins, and what their substitutions truly cost."""


def has_scans(config: Any) -> bool:
    """Whether there is a deep mutational scan to look at."""
    return bool(config.scans)


def open_scans(run: Run) -> dict[str, Scan]:
    """Every scan of the configuration by its name; what was refused of each is a fact of the run."""
    scans = {given.name: read_scan(here(given.file), given.wild_type) for given in run.config.scans}
    for name, scan in scans.items():
        run.fact(f"scan {name}", _facts(scan))
        if refused := {reason: count for reason, count in scan.refused.items() if count}:
            counted = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in refused.items())
            run.warn(f"scan {name}: rows left out: {counted}")
    return scans


def _facts(scan: Scan) -> dict[str, Any]:
    singles = len(scan.singles())
    mutants = {"singles": singles, "multiple": len(scan.variants) - singles}
    return {"residues": len(scan.wild_type), **mutants, "refused": scan.refused}
