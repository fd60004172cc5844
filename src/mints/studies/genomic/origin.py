"""Where the rows of a task come from, for its data card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mints.config import Location


class Gathered(NamedTuple):
    """Rows of a task before they are split and cleaned of twins."""

    table: pd.DataFrame
    """name, sequence, label, chromosome, start, end, strand, split; signal for peaks."""

    left_out: dict[str, int]
    """Rows of the tables that were not taken, by reason."""

    origin: dict[str, Any]
    """The rest of what the card tells of where the rows come from."""


def source(use: str, location: Location, sha256: str) -> dict[str, str]:
    """One file: what for, from where, and its digest.

    A file of this machine goes by its name, as its folder is another one on every machine.
    """
    return {"use": use, "location": location.name if isinstance(location, Path) else location, "sha256": sha256}
