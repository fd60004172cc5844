"""Sums over tokens from which every attention statistic follows; linear in sequences, so that they stream and resample.

A tree of sums has one leading axis: first the sequence, and after `resample` the resample. Row 0 of resampled sums is
the data itself, so that a point estimate and its resamples come from one formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Tree = TypeVar("Tree", bound=NamedTuple)


class Moments(NamedTuple):
    """Of a head's key score x and the motif score y over the tokens of a set."""

    n: Float[ndarray, "row 1"]
    x: Float[ndarray, "row head"]
    y: Float[ndarray, "row 1"]
    xx: Float[ndarray, "row head"]
    yy: Float[ndarray, "row 1"]
    xy: Float[ndarray, "row head"]

    within_xx: Float[ndarray, "row head"]
    """The same after both were centred within their sequence."""

    within_yy: Float[ndarray, "row 1"]
    within_xy: Float[ndarray, "row head"]


class Received(NamedTuple):
    """Attention received by support tokens and by their matched background tokens."""

    support_n: Float[ndarray, "row 1"]
    support: Float[ndarray, "row head"]
    background_n: Float[ndarray, "row 1"]
    background: Float[ndarray, "row head"]


class HeadSums(NamedTuple):
    """Everything that is kept of one forward pass over many sequences, for one motif."""

    all_tokens: Moments
    positive_windows: Moments
    """Tokens of sequences with label 1."""

    inner_tokens: Moments
    """Tokens over which no window is cut off by an end: the best of fewer windows is lower, whatever the motif."""

    balanced: Moments
    """Support tokens and their matched background tokens."""

    position: Moments
    """As `all_tokens`, with the key scores that position alone gives."""

    with_position: Float[ndarray, "row head"]
    """Products of the key score and the one that position alone gives, both centred within their sequence."""

    received: Received
    received_by_position: Received
    """As `received`, with the attention that position alone gives."""


class PermutedSums(NamedTuple):
    """The same for motifs of permuted columns: totals alone, since no interval is wanted of them."""

    within_yy: Float[ndarray, "motif 1"]
    within_xy: Float[ndarray, "motif head"]
    received: Received


def within_r(moments: Moments) -> Float[ndarray, "row head"]:
    """Pearson correlation after centring within sequence; NaN where either side is constant."""
    return ratio(moments.within_xy, np.sqrt(moments.within_xx * moments.within_yy))


def pooled_r(moments: Moments) -> Float[ndarray, "row head"]:
    """Plain Pearson correlation over all tokens of the set."""
    n = np.maximum(moments.n, 1)
    covariance = moments.xy - moments.x * moments.y / n
    spread_x, spread_y = moments.xx - moments.x**2 / n, moments.yy - moments.y**2 / n
    # Differences of large sums: what is left of a constant is rounding.
    constant = (spread_x <= 1e-12 * moments.xx) | (spread_y <= 1e-12 * moments.yy)
    return ratio(covariance, np.where(constant, 0, np.sqrt(np.maximum(spread_x * spread_y, 0))))


def partial_r(sums: HeadSums) -> Float[ndarray, "row head"]:
    """Correlation of key score and motif score that is left when what position alone scores is held fixed.

    The first-order partial correlation (Yule 1907), within sequence; `within_r` where position scores nothing.
    """
    r, r_position = within_r(sums.all_tokens), within_r(sums.position)
    shared = ratio(sums.with_position, np.sqrt(sums.all_tokens.within_xx * sums.position.within_xx))
    left = ratio(r - shared * r_position, np.sqrt((1 - shared**2) * (1 - r_position**2)))
    return np.where(np.isnan(r_position), r, left)


def enrichment(received: Received) -> Float[ndarray, "row head"]:
    """Mean attention received by support tokens over that of background tokens."""
    return ratio(received.support * received.background_n, received.background * received.support_n)


def ratio(above: ndarray, below: ndarray) -> ndarray:
    above, below = np.broadcast_arrays(above, below)
    quotient: ndarray = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return quotient


def resample(rows: Tree, weights: Int[ndarray, "resample row"]) -> Tree:
    """Sums of every resample, the data itself first: one matrix product per leaf."""
    whole = np.concatenate([np.ones((1, weights.shape[1])), weights])
    return map_leaves(lambda leaf: whole @ leaf, rows)


def add(first: Tree, second: Tree) -> Tree:
    """Sums of both."""
    return map_leaves(np.add, first, second)


def map_leaves(function: Callable[..., ndarray], *trees: Tree) -> Tree:
    """A tree of the same shape whose leaves are the function of the trees' leaves."""
    children = (
        function(*parts) if isinstance(parts[0], ndarray) else map_leaves(function, *parts)
        for parts in zip(*trees, strict=True)
    )
    return trees[0]._make(children)


def to_arrays(tree: Any, prefix: str = "") -> dict[str, ndarray]:
    """Leaves by dotted name, for a file."""
    if isinstance(tree, ndarray):
        return {prefix: tree}
    named = zip(tree._fields, tree, strict=True)
    parts = [to_arrays(child, f"{prefix}.{name}" if prefix else name) for name, child in named]
    return {name: leaf for part in parts for name, leaf in part.items()}


def from_arrays(kind: type[Tree], arrays: Mapping[str, ndarray], prefix: str = "") -> Tree:
    """The tree that `to_arrays` took apart."""
    children = []
    for name, child in get_type_hints(kind).items():
        path = f"{prefix}.{name}" if prefix else name
        children.append(from_arrays(child, arrays, path) if issubclass(child, tuple) else arrays[path])
    return kind._make(children)
