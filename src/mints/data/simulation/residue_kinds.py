"""What may stand at a residue of a simulated protein: one distribution over the twenty amino acids for each kind.

The kinds outside domains follow what is known of real sequences: the composition of Swiss-Prot; signal peptides with a
positive n-region, a hydrophobic h-region and small residues at -3 and -1 of the cleavage site (von Heijne 1986);
transmembrane helices with aromatic belts (Ulmschneider & Sansom 2001) and more positive charge on the inner side (von
Heijne 1992).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mints.data.residues import RESIDUES

COMPOSITION = {
    "A": 8.25, "C": 1.38, "D": 5.46, "E": 6.72, "F": 3.86, "G": 7.07, "H": 2.27, "I": 5.91, "K": 5.80, "L": 9.65,
    "M": 2.41, "N": 4.06, "P": 4.74, "Q": 3.93, "R": 5.53, "S": 6.65, "T": 5.36, "V": 6.86, "W": 1.10, "Y": 2.92,
}  # fmt: skip
"""Per cent of each amino acid in Swiss-Prot."""


def distribution(weights: Mapping[str, float], rest: float = 0.0) -> Float[ndarray, "residue"]:
    """Probabilities in the order of `RESIDUES`; `rest` is the share that goes to all residues by `COMPOSITION`."""
    named = np.array([weights.get(residue, 0.0) for residue in RESIDUES])
    mixed: Float[ndarray, "residue"] = (1 - rest) * named / named.sum() + rest * BACKGROUND
    return mixed


BACKGROUND: Float[ndarray, "residue"] = np.array([COMPOSITION[residue] for residue in RESIDUES])
BACKGROUND /= BACKGROUND.sum()

CORE = {"L": 26, "V": 21, "I": 18, "F": 12, "A": 8, "M": 6, "Y": 7, "W": 3, "C": 2}
SURFACE = {"E": 17, "K": 15, "R": 11, "Q": 10, "T": 12, "S": 10, "D": 8, "A": 8, "H": 5, "N": 6, "Y": 5, "V": 4}
TURN = {"G": 24, "P": 17, "N": 15, "D": 15, "S": 14, "T": 6, "E": 6, "K": 6, "H": 4}
CATALYTIC = {"H": 18, "D": 18, "E": 12, "K": 10, "S": 10, "C": 6, "R": 8, "N": 6, "G": 8, "W": 4}
"""Of these a family draws what it prefers at a position of that kind."""

KINDS: dict[str, Float[ndarray, "residue"]] = {
    "start": distribution({"M": 1}),
    "linker": distribution(
        {"S": 13, "P": 9, "E": 11, "G": 7, "K": 8, "T": 9, "Q": 8, "D": 6, "N": 5, "R": 7, "A": 9, "H": 4}, rest=0.25
    ),
    "signal_n": distribution({"K": 30, "R": 28, "S": 8, "N": 6, "G": 6, "A": 6, "L": 6, "T": 5, "W": 2}, rest=0.1),
    "signal_h": distribution({"L": 50, "A": 20, "V": 11, "F": 7, "I": 7, "C": 2, "G": 2, "W": 1}),
    "signal_c": distribution({"S": 18, "G": 14, "P": 14, "A": 12, "T": 11, "Q": 8, "V": 7, "L": 8}, rest=0.1),
    "signal_minus_3": distribution({"A": 44, "V": 24, "S": 13, "T": 11, "G": 4, "C": 4}),
    "signal_minus_1": distribution({"A": 60, "G": 21, "S": 14, "C": 5}),
    "mature_start": distribution({"Q": 14, "A": 12, "E": 12, "D": 10, "S": 10, "K": 8, "T": 6, "V": 6}, rest=0.2),
    "membrane_core": distribution({"L": 29, "V": 17, "I": 16, "A": 13, "F": 9, "G": 7, "M": 4, "S": 2, "T": 2, "C": 1}),
    # Helices that pack against each other carry more small and polar residues than one that stands alone.
    "membrane_bundle": distribution(
        {"L": 22, "V": 14, "I": 13, "A": 13, "F": 9, "G": 10, "S": 8, "T": 6, "M": 4, "N": 2, "P": 2, "C": 1}
    ),
    "membrane_belt": distribution({"W": 20, "Y": 18, "L": 18, "F": 14, "V": 10, "I": 8, "G": 6, "A": 6}),
    "inner_flank": distribution({"K": 30, "R": 32, "S": 8, "N": 7, "H": 5, "Q": 6, "T": 4}, rest=0.1),
    "outer_flank": distribution({"D": 14, "E": 14, "S": 14, "N": 13, "T": 12, "G": 10, "P": 10, "Q": 8}, rest=0.1),
    "buried_hydrophobic": distribution({"L": 28, "V": 18, "I": 16, "A": 18, "F": 10, "M": 8, "G": 2}),
    "buried_polar": distribution({"E": 18, "K": 18, "R": 14, "Q": 14, "N": 10, "S": 10, "T": 8, "D": 8}),
}
"""Kinds of position outside domains; those of domains are drawn for each family."""
