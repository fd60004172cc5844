"""Tables of what single latents and sets of latents restore, with intervals over sequences, nulls and q-values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import Resamples, interval
from mints.analysis.multiplicity import benjamini_hochberg
from mints.analysis.qk_alignment import bootstrap_p
from mints.analysis.restoration import restoration
from mints.features.latent_effects import PairEffects, matched_others

FEWEST_PAIRS = 5
"""Fewest pairs in which a latent has to change for its effect to be estimated."""

MATCHED = 5
"""Other latents of the same pair whose median effect is a latent's null; a mean would carry one strong latent's effect
into the nulls of all that resemble it."""


class Dense(NamedTuple):
    """Effects of the latents that are asked about: 0 in the pairs in which a latent does not change."""

    latents: Int[ndarray, "latent"]
    n_pairs: Int[ndarray, "latent"]
    length: Float[ndarray, "latent"]
    """Mean length of the move, over the pairs in which it changes."""

    own: Float[ndarray, "direction pair latent readout"]
    nulls: dict[str, Float[ndarray, "direction pair latent readout"]]
    """`matched`, and those of the pairs."""

    estimated: Float[ndarray, "pair latent readout"]
    readouts: tuple[str, ...]


DIRECTIONS = ("denoising", "noising")


def gather(
    pairs: Sequence[PairEffects],
    frequencies: Float[ndarray, "d_sae"],
    readouts: Sequence[str],
    nulls: Sequence[str] = ("random",),
) -> Dense:
    """Effects of the latents that change in at least `FEWEST_PAIRS` pairs.

    readouts: their names. frequencies: share of tokens at which each latent is active, by which nulls are matched.
    nulls: which of the pairs' own are taken beside matched latents.
    """
    d_sae = len(frequencies)
    counts = np.bincount(np.concatenate([[], *(pair.latents for pair in pairs)]).astype(int), minlength=d_sae)
    latents = np.flatnonzero(counts >= FEWEST_PAIRS)
    column = np.full(d_sae, -1)
    column[latents] = np.arange(len(latents))
    shape = (len(DIRECTIONS), len(pairs), len(latents), len(readouts))
    own, dense = np.zeros(shape), {name: np.zeros(shape) for name in ("matched", *nulls)}
    estimated, lengths = np.zeros(shape[1:]), np.zeros(len(latents))
    for row, pair in enumerate(pairs):
        asked = np.flatnonzero(column[pair.latents] >= 0)
        at = column[pair.latents[asked]]
        others = matched_others(pair.lengths, frequencies[pair.latents], MATCHED)[asked]
        for direction, effects in enumerate((pair.denoised, pair.noised)):
            own[direction, row, at] = effects[asked]
            dense["matched"][direction, row, at] = np.median(effects[others], axis=1) if others.shape[1] else 0.0
            for name in nulls:
                dense[name][direction, row, at] = pair.nulls[name][direction][asked]
        estimated[row, at] = pair.estimated[asked]
        lengths[at] += pair.lengths[asked]
    return Dense(latents, counts[latents], lengths / counts[latents], own, dense, estimated, tuple(readouts))


def latent_table(
    effects: Dense, totals: Float[ndarray, "pair readout"], frequencies: Float[ndarray, "d_sae"], judge: Resamples
) -> pd.DataFrame:
    """One row per direction, read-out and latent.

    totals: M_clean − M_corrupted of every pair. `change` is what the latent alone changes, a mean over all pairs in the
    read-out's unit; `pm` its share of the mean effect; `matched`, `random` … the nulls' changes. `p` and `q` are of
    the difference to the matched latents, q over the latents of one direction and read-out.
    """
    tables = []
    for direction, name in enumerate(DIRECTIONS):
        for place, readout in enumerate(effects.readouts):
            own = effects.own[direction, :, :, place]
            nulls = {null: values[direction, :, :, place] for null, values in effects.nulls.items()}
            total = totals[:, place]
            estimate = effects.estimated[:, :, place] if name == "denoising" else np.full_like(own, np.nan)
            columns = {
                "direction": name,
                "readout": readout,
                "latent": effects.latents,
                "n_pairs": effects.n_pairs,
                "frequency": frequencies[effects.latents],
                "mean_length": effects.length,
            }
            columns |= _means("change", own, judge)
            for null, values in nulls.items():
                columns |= _means(f"beyond_{null}", own - values, judge)
            for name_of, values in {**nulls, "estimate": estimate}.items():
                columns[name_of] = _means(name_of, values, judge)[name_of]
            unused = ["change_p", *(f"beyond_{null}_p" for null in nulls if null != "matched")]
            table = pd.DataFrame(columns).drop(columns=unused)
            table = table.rename(columns={"beyond_matched_p": "p"})
            table["q"] = benjamini_hochberg(table["p"].to_numpy())
            table["pm"], table["pm_low"], table["pm_high"] = _shares(own, total, judge)
            tables.append(table.assign(**_effect(total, judge)))
    return pd.concat(tables, ignore_index=True)


def _means(name: str, values: Float[ndarray, "pair cell"], judge: Resamples) -> dict[str, ndarray]:
    """Mean over pairs with interval, and the p-value of a mean of zero."""
    whole = np.concatenate([np.ones((1, len(values))), judge.weights])
    with np.errstate(invalid="ignore"):
        means = (whole @ values) / whole.sum(1)[:, None]  # undefined where there are no pairs
    low, high = _ends(means[1:], judge.level)
    return {name: means[0], f"{name}_low": low, f"{name}_high": high, f"{name}_p": bootstrap_p(means)}


def _shares(
    change: Float[ndarray, "pair cell"], total: Float[ndarray, "pair"], judge: Resamples
) -> tuple[Float[ndarray, "cell"], Float[ndarray, "cell"], Float[ndarray, "cell"]]:
    """Ratio of sums over pairs, with interval."""
    if not change.size:
        return (np.full(change.shape[1], np.nan),) * 3
    share = restoration(change, total, judge.weights, judge.level)
    return share.pm, share.pm_low, share.pm_high


def _effect(total: Float[ndarray, "pair"], judge: Resamples) -> dict[str, float]:
    """The mean effect that shares are of: where its interval holds 0, they mean nothing."""
    if not len(total):
        return dict.fromkeys(("effect", "effect_low", "effect_high"), np.nan)
    means = _means("effect", total[:, None], judge)
    return {name: float(means[name][0]) for name in ("effect", "effect_low", "effect_high")}


def _ends(values: Float[ndarray, "resample cell"], level: float) -> tuple[ndarray, ndarray]:
    if not np.isfinite(values).any():
        return (np.full(values.shape[1], np.nan),) * 2
    return interval(values, level)


class Sets(NamedTuple):
    """Sets of latents that are moved together. Rows with the same ranking and size are averaged: draws of a null."""

    ranking: list[str]
    size: list[int]
    members: list[Int[ndarray, "member"]]

    def joined(self, other: Sets) -> Sets:
        """These and others."""
        return Sets(self.ranking + other.ranking, self.size + other.size, self.members + other.members)


def cumulative_sets(ranking: str, order: Int[ndarray, "latent"], sizes: Sequence[int]) -> Sets:
    """The first latents of a ranking, as many as each size says."""
    return Sets([ranking] * len(sizes), list(sizes), [order[:size] for size in sizes])


def set_table(
    sets: Sets,
    changes: Float[ndarray, "pair set readout"],
    totals: Float[ndarray, "pair readout"],
    judge: Resamples,
    readouts: Sequence[str],
) -> pd.DataFrame:
    """One row per read-out, ranking and size: mean change over pairs, and its share of the mean effect."""
    labels = list(dict.fromkeys(zip(sets.ranking, sets.size, strict=True)))
    group = np.array([labels.index(label) for label in zip(sets.ranking, sets.size, strict=True)])
    means = np.eye(len(labels))[group]
    means /= means.sum(0)
    tables = []
    for place, readout in enumerate(readouts):
        change, total = changes[:, :, place] @ means, totals[:, place]
        table = pd.DataFrame(labels, columns=["ranking", "size"])
        table.insert(0, "readout", readout)
        table["pm"], table["pm_low"], table["pm_high"] = _shares(change, total, judge)
        together = _means("change", change, judge)
        del together["change_p"]
        tables.append(table.assign(**together, **_effect(total, judge)))
    return pd.concat(tables, ignore_index=True)
