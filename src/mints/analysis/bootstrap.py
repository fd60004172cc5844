"""Cluster bootstrap: whole clusters are drawn, never rows, and all resamples are one matrix of weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num
from numpy import ndarray


class Resamples(NamedTuple):
    """Resamples that all figures of an analysis share, and the level of the intervals made from them."""

    weights: Num[ndarray, "resample row"]
    """How often each row occurs in each."""

    level: float


def cluster_weights(
    clusters: Int[ndarray, "row"], resamples: int, rng: np.random.Generator
) -> Int[ndarray, "resample row"]:
    """How often each row occurs in each resample: as many clusters are drawn with replacement as there are.

    clusters: cluster of each row; rows of one cluster are drawn together (docs/methods.md, Intervals); may be
    none.
    """
    if not len(clusters):
        return np.zeros((resamples, 0), dtype=np.int16)
    _, row_cluster = np.unique(clusters, return_inverse=True)
    count = int(row_cluster.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights: Int[ndarray, "resample row"] = drawn.astype(np.int16)[:, row_cluster]
    return weights


def crossed_weights(
    units: Sequence[Collection[int]], resamples: int, rng: np.random.Generator
) -> Int[ndarray, "resample row"]:
    """How often each row occurs in each resample where a row hangs on several units, and units are shared.

    units: of each row, as numbers. As many units are drawn with replacement as there are; a row occurs as often as the
    product of its units' draws says (the pigeonhole bootstrap, Owen 2007). Rows of one unit each are clusters.
    """
    if not len(units):
        return np.zeros((resamples, 0), dtype=np.int64)
    every = sorted(set().union(*units))
    column = {unit: place for place, unit in enumerate(every)}
    drawn = rng.multinomial(len(every), np.full(len(every), 1 / len(every)), size=resamples)
    columns = [np.prod(drawn[:, [column[unit] for unit in row]], axis=1) for row in units]
    weights: Int[ndarray, "resample row"] = np.stack(columns, axis=1)
    return weights


def interval(
    values: Float[ndarray, "resample ..."], level: float
) -> tuple[Float[ndarray, "..."], Float[ndarray, "..."]]:
    """Empirical quantiles over the resamples; resamples in which the figure is undefined are left out.

    Gives NaN where no resample defines the figure.
    """
    tail = (1 - level) / 2
    undefined = np.isnan(values).all(axis=0)
    low, high = np.nanquantile(np.where(undefined, 0.0, values), [tail, 1 - tail], axis=0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
