"""Places of a layered graph's nodes, computed once: whatever a reader hides later, nothing jumps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

SWEEPS = 12
"""Passes over the layers, there and back."""


class Link(NamedTuple):
    """An edge between two nodes, by their numbers."""

    source: int
    target: int
    size: float
    """How much it pulls its ends together: its share of the largest |weight| of its kind."""


def layered(layers: Sequence[int], links: Sequence[Link]) -> Float[ndarray, "node xy"]:
    """x: the node's layer. y: from 0 to 1, nodes of a layer evenly spaced, in an order that avoids crossings.

    Every node goes to the weighted mean place of its neighbours, layer after layer, upwards and downwards in turn
    (barycentre method of Sugiyama, Tagawa and Toda 1981); of all passes the order with the least weight of crossings
    between neighbouring layers is kept, the first of equals.
    """
    layer = np.asarray(layers, dtype=np.int64)
    places = np.zeros(len(layer))
    numbers = sorted(set(layer.tolist()))
    members = {number: np.flatnonzero(layer == number) for number in numbers}
    for rows in members.values():
        places[rows] = spread(len(rows))
    best, least = places.copy(), crossings(layer, places, links)
    pull = np.zeros((len(layer), len(layer)))
    for link in links:
        pull[link.source, link.target] += link.size
        pull[link.target, link.source] += link.size
    for sweep in range(SWEEPS):
        for number in numbers if sweep % 2 else numbers[::-1]:
            rows = members[number]
            others = pull[rows] * (layer != number)
            total = others.sum(axis=1)
            towards = np.divide(others @ places, total, out=places[rows].copy(), where=total > 0)
            order = np.argsort(towards, kind="stable")
            places[rows[order]] = spread(len(rows))
        if (found := crossings(layer, places, links)) < least:
            best, least = places.copy(), found
    return np.column_stack([layer.astype(float), best])


def spread(count: int) -> Float[ndarray, "node"]:
    """Even places from 0 to 1, as far from the ends as half a step."""
    return (np.arange(count) + 0.5) / max(count, 1)


def crossings(layer: Int[ndarray, "node"], places: Float[ndarray, "node"], links: Sequence[Link]) -> float:
    """Sum over pairs of crossing edges between the same two layers of the product of their sizes."""
    total = 0.0
    between: dict[tuple[int, int], list[Link]] = {}
    for link in links:
        ends = (int(layer[link.source]), int(layer[link.target]))
        between.setdefault(ends, []).append(link)
    for together in between.values():
        source = places[[link.source for link in together]]
        target = places[[link.target for link in together]]
        size = np.array([link.size for link in together])
        crossed = (source[:, None] - source) * (target[:, None] - target) < 0
        total += float(size @ crossed @ size) / 2
    return total
