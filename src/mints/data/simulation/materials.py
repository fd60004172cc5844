"""What a chromosome is made of: every supply draws from that chromosome's own generator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from mints.data.simulation.background import Background, Supply, draw_background, markov_block, sample_rows
from mints.data.simulation.elements import (
    DIVERGENCE,
    PYRIMIDINE,
    REPEATS,
    SHORTEST_PIECE,
    TRACT_EXTRA,
    TRUNCATED_ABOVE,
    codon_usage,
    site_models,
)

ROWS = 256
"""Instances of a matrix that are drawn at a time."""

CODONS = 8192

FAMILY_FROM_INTRON = 0.5
"""Chance that a repeat family has the composition of introns, else that of an isochore."""

MICROSATELLITE_UNITS = (1, 2, 3, 4)
MICROSATELLITE_LENGTHS = (16, 50)
"""Lengths from the first to one below the second."""


class RepeatCopy(NamedTuple):
    """One copy of an interspersed repeat."""

    codes: UInt8[ndarray, "position"]
    strand: str
    family: str


class Nature(NamedTuple):
    """What all chromosomes share."""

    background: Background
    families: list[UInt8[ndarray, "position"]]


def draw_nature(rng: np.random.Generator) -> Nature:
    """Markov chains and repeat families of one genome."""
    background = draw_background(rng)
    families = []
    for group in REPEATS:
        for _ in range(group.families):
            isochore = background.isochores[rng.integers(len(background.isochores))]
            chain = background.intron if rng.random() < FAMILY_FROM_INTRON else isochore
            families.append(markov_block(rng, chain)[: group.length])
    return Nature(background, families)


class Materials:
    """Supplies of one chromosome."""

    def __init__(self, nature: Nature, rng: np.random.Generator) -> None:
        self.rng = rng
        self.isochores = [self._markov(chain) for chain in nature.background.isochores]
        self.intron = self._markov(nature.background.intron)
        self.island = self._markov(nature.background.island)
        codons, usage = codon_usage()
        self.codons = Supply(lambda: codons[rng.choice(len(codons), p=usage, size=CODONS)])
        self._sites = {kind: self._matrix(model.probabilities) for kind, model in site_models().items()}
        self._tracts = self._matrix(np.tile(PYRIMIDINE, (TRACT_EXTRA, 1)))
        self._families = nature.families
        weights = np.concatenate([group.weights for group in REPEATS])
        self._family_thresholds = np.cumsum(weights / weights.sum())[:-1]

    def _markov(self, chain: ndarray) -> Supply:
        return Supply(lambda: markov_block(self.rng, chain))

    def _matrix(self, probabilities: ndarray) -> Supply:
        return Supply(lambda: sample_rows(self.rng, probabilities, ROWS))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high` - 1."""
        return int(self.rng.integers(low, high))

    def strand(self) -> str:
        """Either strand."""
        return "+" if self.chance(0.5) else "-"

    def site(self, kind: str, strand: str = "+") -> UInt8[ndarray, "position"]:
        """The next instance of a matrix, as read on the given strand."""
        instance: UInt8[ndarray, "position"] = self._sites[kind].take(1)[0]
        return instance if strand == "+" else 3 - instance[::-1]

    def tract(self) -> UInt8[ndarray, "position"]:
        """The bases by which a polypyrimidine tract is longer than the shortest."""
        tract: UInt8[ndarray, "position"] = self._tracts.take(1)[0, : self.between(0, TRACT_EXTRA + 1)]
        return tract

    def repeat(self) -> RepeatCopy:
        """A diverged, possibly truncated copy of a random family."""
        family = int(np.searchsorted(self._family_thresholds, self.rng.random(), side="right"))
        copy = self._families[family]
        if len(copy) > TRUNCATED_ABOVE:
            length = self.between(SHORTEST_PIECE, len(copy))
            start = self.between(0, len(copy) - length + 1)
            copy = copy[start : start + length]
        changed = self.rng.random(len(copy)) < self.rng.uniform(*DIVERGENCE)
        copy = np.where(changed, (copy + self.rng.integers(1, 4, len(copy))) % 4, copy).astype(np.uint8)
        strand = self.strand()
        return RepeatCopy(copy if strand == "+" else 3 - copy[::-1], strand, f"family{family + 1}")

    def microsatellite(self) -> UInt8[ndarray, "position"]:
        """A tandem repeat of a random unit."""
        unit = self.rng.integers(0, 4, self.rng.choice(MICROSATELLITE_UNITS), dtype=np.uint8)
        return np.resize(unit, self.between(*MICROSATELLITE_LENGTHS))
