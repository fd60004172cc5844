"""How much of a counterfactual's effect a patch restores or takes away (docs/methods.md, Activation patching)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mints.analysis.bootstrap import interval
from mints.analysis.qk_alignment import bootstrap_p

LEAST_EFFECT = 1e-3
"""Read-out difference between clean and corrupted below which a pair has no effect to restore: such denominators count
as failures in the mean of ratios."""


class Restoration(NamedTuple):
    """Figures of many cells (components, or heads) over the same pairs; the axis is the cell."""

    pm: Float[ndarray, "cell"]
    """Ratio of sums over pairs: the primary figure."""

    pm_low: Float[ndarray, "cell"]
    pm_high: Float[ndarray, "cell"]
    p: Float[ndarray, "cell"]
    """Two-sided, of a restoration of zero."""

    pm_seed: Float[ndarray, "cell"]
    """Mean of the pairs' ratios, failed denominators left out."""

    pm_median: Float[ndarray, "cell"]
    n_pairs: int
    n_failed: int
    """Pairs whose denominator is below `LEAST_EFFECT`."""

    effect: float
    """Mean read-out difference, clean minus corrupted."""

    effect_low: float
    effect_high: float


def restoration(
    change: Float[ndarray, "pair cell"],
    effect: Float[ndarray, "pair"],
    weights: Int[ndarray, "resample pair"],
    level: float,
) -> Restoration:
    """Restoration from each pair's change of the read-out and the effect that it is measured against.

    Denoising: change = M_patched − M_corrupted. Noising: change = M_clean − M_patched. effect = M_clean − M_corrupted.
    The interval is a bootstrap over clusters of pairs of the ratio of sums (Efron & Tibshirani 1993).
    """
    whole = np.concatenate([np.ones((1, len(effect))), weights])
    below = whole @ effect
    with np.errstate(divide="ignore", invalid="ignore"):
        pm = (whole @ change) / below[:, None]
        ratios = change / effect[:, None]
    valid = np.abs(effect) >= LEAST_EFFECT
    low, high = interval(pm[1:], level)
    effect_low, effect_high = interval(below[1:] / np.maximum(whole[1:].sum(1), 1), level)
    nothing = np.full(change.shape[1], np.nan)
    return Restoration(
        pm[0],
        low,
        high,
        bootstrap_p(pm),
        ratios[valid].mean(0) if valid.any() else nothing,
        np.median(ratios[valid], axis=0) if valid.any() else nothing,
        len(effect),
        int((~valid).sum()),
        float(effect.mean()) if len(effect) else float("nan"),
        float(effect_low),
        float(effect_high),
    )


def other_pair(tokens: Int[ndarray, "pair"], rng: np.random.Generator) -> Int[ndarray, "pair"]:
    """Another pair for every pair, as nearly as possible of the same number of tokens: a null's activation is from it.

    Two pairs give to each other (three, in a circle, where their number is odd), so that what tells their sequences
    apart comes in once with either sign. Drawn at random within equal lengths.
    """
    order = np.lexsort((rng.permutation(len(tokens)), tokens))
    _, first, size = np.unique(tokens[order], return_index=True, return_counts=True)
    left_over = np.zeros(len(order), dtype=bool)
    left_over[(first + size - 1)[size % 2 == 1]] = True
    order = np.concatenate([order[~left_over], order[left_over]])
    coupled = max(0, len(order) - 3) if len(order) % 2 else len(order)
    couples, circle = order[:coupled].reshape(-1, 2), order[coupled:]
    partner = np.empty(len(tokens), dtype=np.int64)
    partner[couples] = couples[:, ::-1]
    partner[circle] = np.roll(circle, -1)
    return partner


def linked(clusters: Int[ndarray, "pair"], partner: Int[ndarray, "pair"]) -> Int[ndarray, "pair"]:
    """What is resampled as one: pairs of one cluster, and pairs that give to each other, with all that hang together.

    Were partners drawn apart, their sequences' difference would count as noise of the null although it cancels.
    """
    _, cluster = np.unique(clusters, return_inverse=True)
    pair, count = np.arange(len(partner)), len(partner)
    ends = np.concatenate([pair, pair]), np.concatenate([partner, count + cluster])
    nodes = 2 * count
    links = coo_array((np.ones(len(ends[0]), dtype=bool), ends), shape=(nodes, nodes))
    units: Int[ndarray, "pair"] = connected_components(links, directed=False)[1][:count]
    return units
