"""Random sequences whose composition varies and whose runs of one base are as long as those of genomes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray


class StrandSettings(NamedTuple):
    """Composition of simulated strands."""

    gc_low: float = 0.3
    gc_high: float = 0.65
    """Every strand's share of G and C is drawn evenly between these."""

    extended: float = 0.03
    """Share of the bases that are repeated beyond chance, as slippage leaves them in genomes."""

    longest_extension: int = 7
    """Such a base is repeated once to this many times more, evenly."""


GENOME_LIKE = StrandSettings()


def draw_strands(
    rng: np.random.Generator, count: int, bases: int, settings: StrandSettings = GENOME_LIKE
) -> UInt8[ndarray, "strand base"]:
    """Strands of independent bases, some of which are repeated. Codes A0 C1 G2 T3."""
    gc = rng.uniform(settings.gc_low, settings.gc_high, size=(count, 1)).astype(np.float32)
    uniform = rng.random((count, bases), dtype=np.float32)
    # A, C, G, T lie on [0, 1) in this order, so that a base is the number of borders at or below the draw.
    borders = np.concatenate([(1 - gc) / 2, np.full_like(gc, 0.5), (1 + gc) / 2], axis=1)
    drawn = np.zeros((count, bases), dtype=np.uint8)
    for border in borders.T:
        drawn += uniform >= border[:, None]
    repeats = np.ones((count, bases), dtype=np.intp)
    chosen = rng.random((count, bases), dtype=np.float32) < settings.extended
    repeats[chosen] += rng.integers(1, settings.longest_extension + 1, size=int(chosen.sum()))
    return first_of_each_row(np.repeat(drawn.ravel(), repeats.ravel()), repeats.sum(axis=1), bases)


def first_of_each_row(flat: ndarray, lengths: ndarray, width: int, skip: ndarray | int = 0) -> ndarray:
    """The first `width` items of each of the rows that lie in `flat` one after another, after `skip` items of each."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) + skip
    taken: ndarray = flat[starts[:, None] + np.arange(width)]
    return taken
