"""Where the rows of a task come from, for its data card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mints.section import Location


class Gathered(NamedTuple):
    """Rows of a task before they are split and cleaned of twins."""

    table: pd.DataFrame
    """name, sequence, label, chromosome, start, end, strand, split; signal for peaks."""

    left_out: dict[str, int]
    """Rows of the tables that were not taken, by reason."""

    origin: dict[str, Any]
    """The rest of what the card tells of where the rows come from."""


def source(use: str, location: Location, path: Path, sha256: str) -> dict[str, str]:
    """One file: what for, its name and digest, and its address unless it is of this machine.

    A file of this machine goes without its folder, which is another one on every machine.
    """
    address = {} if isinstance(location, Path) else {"address": location}
    return {"use": use, "file": path.name, **address, "sha256": sha256}
