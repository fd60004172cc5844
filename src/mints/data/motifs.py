"""Motif matrices from JASPAR."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mints.errors import MintsError

UNIFORM = (0.25, 0.25, 0.25, 0.25)


class Motif(NamedTuple):
    """A position count matrix, bases in the order A, C, G, T."""

    id: str
    name: str
    counts: Float[ndarray, "position base"]

    def probabilities(
        self, pseudocount: float = 0.5, background: tuple[float, ...] = UNIFORM
    ) -> Float[ndarray, "position base"]:
        """Base probabilities; `pseudocount` times four is shared out by `background` at every position."""
        counts = self.counts + 4 * pseudocount * np.array(background)
        smoothed: Float[ndarray, "position base"] = counts / counts.sum(axis=1, keepdims=True)
        return smoothed

    def log_odds(
        self, background: tuple[float, ...] = UNIFORM, pseudocount: float = 0.5
    ) -> Float[ndarray, "position base"]:
        """Bits for each base against the background."""
        bits: Float[ndarray, "position base"] = np.log2(
            self.probabilities(pseudocount, background) / np.array(background)
        )
        return bits


def read_jaspar(path: Path) -> Motif:
    """One matrix in JASPAR format: `>ID NAME`, then the rows A, C, G and T, their counts in brackets or bare.

    Raises MintsError where there is no such file or it holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").strip().splitlines()
        header, *rows = [line.replace("[", " ").replace("]", " ").split() for line in lines]
        letters, counts = [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=float)
    except FileNotFoundError:
        raise MintsError(f"{path} does not exist") from None
    except (ValueError, IndexError):
        raise MintsError(_no_matrix(path)) from None
    mark, motif_id = header[0][:1], header[0][1:]
    if mark != ">" or not motif_id or letters != list("ACGT") or not np.all(counts.sum(axis=0) > 0):
        raise MintsError(_no_matrix(path))
    return Motif(motif_id, " ".join(header[1:]) or motif_id, counts.T)


def _no_matrix(path: Path) -> str:
    return f"{path} is not a JASPAR matrix: expected '>ID NAME' and rows of equal length for A, C, G and T"


def load_motif(motif_id: str) -> Motif:
    """A shipped matrix. Raises MintsError for an id that is not shipped, naming those that are."""
    folder = Path(str(files("mints") / "data" / "jaspar"))
    shipped = sorted(path.stem for path in folder.glob("*.jaspar"))
    if motif_id not in shipped:
        raise MintsError(f"motif {motif_id} is not shipped: there are {', '.join(shipped)}")
    return read_jaspar(folder / f"{motif_id}.jaspar")
