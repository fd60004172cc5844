"""Sequence between the elements: order-3 Markov chains of several compositions, no base of them used twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

ORDER = 3
CONTEXTS = 4**ORDER

CONCENTRATION = 40.0
"""Dirichlet concentration of each context's next-base probabilities around the composition."""

CPG_FACTOR = 0.25
"""CpG depletion: factor on G after C, before normalisation."""

ISLAND_CPG_FACTOR = 0.9
"""The same in CpG islands, where methylation has not removed it."""

HOMOPOLYMER_FACTOR = 1.8
"""Factor on A after AAA and on T after TTT."""

ISOCHORES = ((0.31, 0.19, 0.19, 0.31), (0.29, 0.21, 0.21, 0.29), (0.25, 0.25, 0.25, 0.25))
"""A, C, G, T of the intergenic compositions (GC .38, .42, .50)."""

INTRON = (0.27, 0.17, 0.20, 0.36)
"""Introns in gene sense: more T than A, more G than C."""

ISLAND = (0.17, 0.33, 0.33, 0.17)

CHAINS = 512
CHAIN_LENGTH = 512
BURN_IN = 16


class Background(NamedTuple):
    """Next-base probabilities, one row per context of three bases (first base most significant)."""

    isochores: tuple[Float[ndarray, "context base"], ...]
    intron: Float[ndarray, "context base"]
    island: Float[ndarray, "context base"]


def draw_background(rng: np.random.Generator) -> Background:
    """Markov chains around the compositions above; one draw serves the whole genome."""
    return Background(
        isochores=tuple(_markov_chain(rng, composition) for composition in ISOCHORES),
        intron=_markov_chain(rng, INTRON),
        island=_markov_chain(rng, ISLAND, ISLAND_CPG_FACTOR),
    )


def _markov_chain(
    rng: np.random.Generator, composition: tuple[float, ...], cpg_factor: float = CPG_FACTOR
) -> Float[ndarray, "context base"]:
    chain = rng.dirichlet(CONCENTRATION * np.array(composition), size=CONTEXTS)
    chain[np.arange(CONTEXTS) % 4 == 1, 2] *= cpg_factor
    chain[0, 0] *= HOMOPOLYMER_FACTOR
    chain[-1, 3] *= HOMOPOLYMER_FACTOR
    normalised: Float[ndarray, "context base"] = chain / chain.sum(axis=1, keepdims=True)
    return normalised


def markov_block(rng: np.random.Generator, chain: Float[ndarray, "context base"]) -> UInt8[ndarray, "position"]:
    """`CHAINS` independent runs of the chain, `CHAIN_LENGTH` bases each, one after another."""
    first, second, third = np.cumsum(chain, axis=1)[:, :3].T
    uniform = rng.random((BURN_IN + CHAIN_LENGTH, CHAINS), dtype=np.float32)
    context = rng.integers(CONTEXTS, size=CHAINS)
    runs = np.empty((len(uniform), CHAINS), dtype=np.uint8)
    for step, draw in enumerate(uniform):
        base = (draw >= first[context]).astype(np.uint8)
        base += draw >= second[context]
        base += draw >= third[context]
        runs[step] = base
        context = (context * 4 + base) % CONTEXTS
    return runs[BURN_IN:].T.reshape(-1)


def sample_rows(
    rng: np.random.Generator, probabilities: Float[ndarray, "position base"], rows: int
) -> UInt8[ndarray, "row position"]:
    """Independent instances of a position matrix."""
    thresholds = np.cumsum(probabilities, axis=1)[:, :3]
    uniform = rng.random((rows, len(probabilities), 1))
    drawn: UInt8[ndarray, "row position"] = (uniform >= thresholds).sum(axis=2, dtype=np.uint8)
    return drawn


class Supply:
    """Endless rows from a block-wise draw; a row is handed out once, so the taker may change it."""

    def __init__(self, draw_block: Callable[[], ndarray]) -> None:
        self._draw_block = draw_block
        self._block = draw_block()
        self._used = 0

    def take(self, count: int) -> ndarray:
        """The next `count` rows."""
        while len(self._block) - self._used < count:
            self._block = np.concatenate([self._block[self._used :], self._draw_block()])
            self._used = 0
        self._used += count
        return self._block[self._used - count : self._used]
