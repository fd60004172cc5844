"""What a substitution costs by the two residues alone, without a model and without the assay.

Higher is more alike, as a model's score is higher where it minds a substitution less.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from Bio.Align import substitution_matrices
from Bio.SeqUtils import ProtParamData


@cache
def _blosum62() -> dict[tuple[str, str], float]:
    matrix = substitution_matrices.load("BLOSUM62")  # type: ignore[no-untyped-call]
    return {pair: float(value) for pair, value in matrix.items()}


def blosum62(wild_type: str, mutant: str) -> float:
    """Log-odds of the exchange between related proteins, in half bits (Henikoff & Henikoff 1992)."""
    return _blosum62()[wild_type, mutant]


def hydrophobicity(wild_type: str, mutant: str) -> float:
    """Minus the distance of the two residues on the scale of Kyte & Doolittle (1982)."""
    return -abs(float(ProtParamData.kd[mutant] - ProtParamData.kd[wild_type]))


BASELINES: dict[str, Callable[[str, str], float]] = {"blosum62": blosum62, "hydrophobicity": hydrophobicity}
