"""Hydropathy of residues and of stretches of them: what finds a transmembrane helix without any model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

KYTE_DOOLITTLE = {
    "A": 1.8, "R": -4.5, "N": -3.5, "D": -3.5, "C": 2.5, "Q": -3.5, "E": -3.5, "G": -0.4, "H": -3.2, "I": 4.5,
    "L": 3.8, "K": -3.9, "M": 1.9, "F": 2.8, "P": -1.6, "S": -0.8, "T": -0.7, "W": -0.9, "Y": -1.3, "V": 4.2,
}  # fmt: skip
"""Kyte & Doolittle 1982, table 2. Letters that are none of these count as 0."""

WIDTHS = (7, 11, 15, 19, 23)
"""Residues of the windows over which hydropathy is averaged; 19 is the authors' own choice for membrane spans."""

_OF_BYTE = np.zeros(256)
for _residue, _value in KYTE_DOOLITTLE.items():
    _OF_BYTE[ord(_residue)] = _value


def hydropathy(sequence: str) -> Float[ndarray, "residue"]:
    """Hydropathy of every residue of an upper-case sequence."""
    values: Float[ndarray, "residue"] = _OF_BYTE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
    return values


def windowed_hydropathy(sequence: str, width: int) -> Float[ndarray, "residue"]:
    """Mean hydropathy of the window of `width` residues (odd) around each; at the ends, of those that are there."""
    sums, half = np.concatenate([[0.0], np.cumsum(hydropathy(sequence))]), width // 2
    place = np.arange(len(sequence))
    first, last = np.maximum(place - half, 0), np.minimum(place + half + 1, len(sequence))
    means: Float[ndarray, "residue"] = (sums[last] - sums[first]) / (last - first)
    return means


def stretch_hydropathy(sequence: str, length: int) -> Float[ndarray, "start"]:
    """Mean hydropathy of every stretch of exactly `length` residues, by its first; none where there are fewer."""
    sums = np.concatenate([[0.0], np.cumsum(hydropathy(sequence))])
    means: Float[ndarray, "start"] = (sums[length:] - sums[:-length]) / length
    return means if len(sequence) >= length else np.zeros(0)
