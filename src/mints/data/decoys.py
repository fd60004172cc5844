"""Decoys of annotated stretches: as hydrophobic and as long, in proteins that have no such annotation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from mints.data.hydropathy import stretch_hydropathy

DIGITS = 9
"""Decimals to which hydropathies are compared."""

SLACK = 1e-6
"""Stretches that are looked at lie so much beyond the caliper, which is then held exactly."""


class Stretch(NamedTuple):
    """Residues of one of some proteins, 0-based and half-open."""

    protein: int
    start: int
    end: int
    hydropathy: float
    """Mean of Kyte and Doolittle's scale."""


class Match(NamedTuple):
    """A stretch and its decoy."""

    own: Stretch
    decoy: Stretch


def matched_decoys(
    stretches: Sequence[Stretch], hosts: Sequence[str], caliper: float, *, at_start: bool = False
) -> list[Match]:
    """For each stretch the host's stretch of the same length that is nearest in hydropathy; every host is taken once.

    hosts: sequences without the annotation; `Stretch.protein` of a decoy counts them. caliper: largest difference; a
    stretch without a decoy within it is left out. at_start: decoys begin at a host's first residue. The most
    hydrophobic stretches choose first: their decoys are the scarce ones. Matches come in the order of the stretches.
    """
    pool = _Pool(hosts, at_start=at_start)
    matches: dict[int, Match] = {}
    for index in sorted(range(len(stretches)), key=lambda index: (-stretches[index].hydropathy, index)):
        decoy = pool.take(stretches[index], caliper)
        if decoy is not None:
            matches[index] = Match(stretches[index], decoy)
    return [matches[index] for index in sorted(matches)]


class _Sorted(NamedTuple):
    """All stretches of one length, by ascending hydropathy."""

    value: Float[ndarray, "stretch"]
    """Rounded, so that what is equal but for the order of a sum is a tie."""

    host: Int[ndarray, "stretch"]
    start: Int[ndarray, "stretch"]


class _Pool:
    """Stretches of hosts that are still free."""

    def __init__(self, hosts: Sequence[str], *, at_start: bool) -> None:
        self.hosts, self.at_start = hosts, at_start
        self.free = np.ones(len(hosts), dtype=bool)
        self.by_length: dict[int, _Sorted] = {}

    def take(self, own: Stretch, caliper: float) -> Stretch | None:
        """The nearest one within the caliper, of equally near ones that of the first host; its host is free no more."""
        length = own.end - own.start
        value, host, start = self._of_length(length)
        first, last = np.searchsorted(value, [own.hydropathy - caliper - SLACK, own.hydropathy + caliper + SLACK])
        distance = np.abs(value[first:last] - own.hydropathy).round(DIGITS)
        near = first + np.flatnonzero(self.free[host[first:last]] & (distance <= caliper))
        if not len(near):
            return None
        chosen = near[np.lexsort((start[near], host[near], distance[near - first]))[0]]
        self.free[host[chosen]] = False
        return Stretch(int(host[chosen]), int(start[chosen]), int(start[chosen]) + length, float(value[chosen]))

    def _of_length(self, length: int) -> _Sorted:
        if length not in self.by_length:
            means = [stretch_hydropathy(sequence, length)[: 1 if self.at_start else None] for sequence in self.hosts]
            counts = [len(part) for part in means]
            starts = np.concatenate([*(np.arange(count) for count in counts), np.zeros(0, dtype=np.int64)])
            values = np.concatenate([*means, np.zeros(0)]).round(DIGITS)
            order = np.argsort(values, kind="stable")
            self.by_length[length] = _Sorted(
                values[order], np.repeat(np.arange(len(counts)), counts)[order], starts[order]
            )
        return self.by_length[length]
