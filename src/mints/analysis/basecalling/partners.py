"""Which other pair lends a pair its activations, for nulls."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Shaped
from numpy import ndarray

from mints.analysis.restoration import other_pair
from mints.data.nanopore.pairs import GROUPS


def pair_of_the_same_group(
    groups: Shaped[ndarray, "pair"], run_lengths: Int[ndarray, "pair"], rng: np.random.Generator
) -> Int[ndarray, "pair"]:
    """Another pair of the same group, as nearly as possible of the same run length; two give to each other."""
    partner = np.arange(len(groups))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        partner[rows] = rows[other_pair(run_lengths[rows], rng)]
    return partner


def pair_of_an_unrelated_read(
    groups: Shaped[ndarray, "pair"],
    reads: Shaped[ndarray, "pair"],
    run_lengths: Int[ndarray, "pair"],
    rng: np.random.Generator,
) -> Int[ndarray, "pair"]:
    """A pair of the other group from another read, of about the same run length.

    Both groups are put in the order of their run lengths; two pairs give to each other where the groups are of one
    size. One order is turned against the other until the fewest pairs have a partner of their own read.
    Raises ValueError where a group has no pair.
    """
    order = np.lexsort((rng.permutation(len(groups)), run_lengths))
    first, second = (order[groups[order] == group] for group in GROUPS)
    if not len(first) or not len(second):
        raise ValueError(f"both groups are needed: there are {len(first)} and {len(second)} pairs")
    turns = [_coupled(first, second, turn) for turn in range(min(len(second), 24))]
    shared = [int((reads[partner] == reads).sum()) for partner in turns]
    return turns[int(np.argmin(shared))]


def _coupled(first: Int[ndarray, "a"], second: Int[ndarray, "b"], turn: int) -> Int[ndarray, "pair"]:
    partner = np.empty(len(first) + len(second), dtype=np.int64)
    place = np.arange(len(first)) * len(second) // len(first)
    partner[first] = second[(place + turn) % len(second)]
    back = (np.arange(len(second)) - turn) % len(second)
    partner[second] = first[back * len(first) // len(second)]
    return partner
