"""How much of a counterfactual's effect a patch restores or takes away (docs/methods.md, Activation patching)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

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

    Pairs are put in random order within equal lengths and each takes the next one's.
    """
    order = np.lexsort((rng.permutation(len(tokens)), tokens))
    partner = np.empty(len(tokens), dtype=np.int64)
    partner[order] = np.roll(order, -1)
    return partner
