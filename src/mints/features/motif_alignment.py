"""Which units of a model follow a motif over sequences: latents, and neurons, components and directions beside them.

A unit is a column of activations, one value per sequence. It is chosen on validation and reported on test; see
docs/methods.md, Distributed feature search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from numpy.random import Generator

from mints.analysis.bootstrap import interval
from mints.analysis.multiplicity import benjamini_hochberg

FEWEST = 3
"""Sequences from which a correlation is taken."""


class Units(NamedTuple):
    """Activations of one set of units on the sequences of both held-out splits."""

    validation: Float[ndarray, "sequence unit"]
    test: Float[ndarray, "sequence unit"]


class MotifScores(NamedTuple):
    """Best log-odds (bits) of the motif in each sequence, and the sequence's label."""

    validation: Float[ndarray, "sequence"]
    test: Float[ndarray, "sequence"]
    test_labels: Int[ndarray, "sequence"]


class Draws(NamedTuple):
    """Random choices that all sets of units share."""

    weights: Int[ndarray, "resample sequence"]
    """How often each test sequence is drawn: of whole clusters."""

    permutations: Int[ndarray, "permutation sequence"]
    """Orders of the test sequences, each within its label."""


def permutations_within(labels: Int[ndarray, "sequence"], count: int, rng: Generator) -> Int[ndarray, "permutation n"]:
    """Random orders that exchange sequences of one label alone, so that what the label explains is not tested."""
    orders = np.tile(np.arange(len(labels)), (count, 1))
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        orders[:, places] = rng.permuted(np.tile(places, (count, 1)), axis=1)
    return orders


def correlations(
    scores: Float[ndarray, "draw sequence"], units: Float[ndarray, "sequence unit"], weights: Float[ndarray, "draw n"]
) -> Float[ndarray, "draw unit"]:
    """Pearson correlation of each unit with the scores, for every draw's weights; 0 where either does not vary."""
    n = weights.sum(axis=1, keepdims=True)
    weighted = weights * scores
    mean_score, mean_unit = weighted.sum(axis=1, keepdims=True) / n, weights @ units / n
    covariance = weighted @ units / n - mean_score * mean_unit
    score_variance = (weighted * scores).sum(axis=1, keepdims=True) / n - mean_score**2
    unit_variance = weights @ units**2 / n - mean_unit**2
    scale = np.sqrt(np.clip(score_variance, 0, None) * np.clip(unit_variance, 0, None))
    r: Float[ndarray, "draw unit"] = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 1e-12)
    return r


def correlation(scores: Float[ndarray, "sequence"], units: Float[ndarray, "sequence unit"]) -> Float[ndarray, "unit"]:
    """Pearson correlation of each unit with the scores."""
    r: Float[ndarray, "unit"] = correlations(scores[None], units, np.ones((1, len(scores))))[0]
    return r


def cosine(scores: Float[ndarray, "sequence"], units: Float[ndarray, "sequence unit"]) -> Float[ndarray, "unit"]:
    """Cosine of each unit's activations, as they are, with the centred scores; 0 for a unit that never fires."""
    centred = scores - scores.mean()
    lengths = np.linalg.norm(units, axis=0) * np.linalg.norm(centred)
    result: Float[ndarray, "unit"] = np.divide(centred @ units, lengths, out=np.zeros(len(lengths)), where=lengths > 0)
    return result


def best_units(units: Units, scores: MotifScores, draws: Draws, *, count: int, level: float) -> pd.DataFrame:
    """The `count` units that follow the motif best on validation, as they do on test.

    Columns unit, validation_r, r, low, high, p_within_label, q_within_label, cosine, r_within_positives,
    activation_frequency. p: of r under permutations of the scores within each label, one-sided: does the unit follow
    the motif beyond what the label explains? q: over all units of the set that vary on test.
    """
    on_validation = correlation(scores.validation, units.validation)
    chosen = np.argsort(-on_validation, kind="stable")[:count]
    picked = units.test[:, chosen]
    ones = np.ones((len(draws.permutations), len(scores.test)))
    null = correlations(scores.test[draws.permutations], units.test, ones)
    r = correlation(scores.test, units.test)
    p = (1 + (null >= r).sum(axis=0)) / (1 + len(null))
    fires = units.test.std(axis=0) > 0
    q = np.ones(len(r))
    q[fires] = benjamini_hochberg(p[fires])
    resampled = correlations(np.broadcast_to(scores.test, draws.weights.shape), picked, draws.weights.astype(float))
    bounds = [interval(column, level) for column in resampled.T]
    positive = scores.test_labels == 1
    within = (
        correlation(scores.test[positive], picked[positive]) if positive.sum() > 2 else np.full(len(chosen), np.nan)
    )
    return pd.DataFrame(
        {
            "unit": chosen,
            "validation_r": on_validation[chosen],
            "r": r[chosen],
            "low": [low for low, _ in bounds],
            "high": [high for _, high in bounds],
            "p_within_label": p[chosen],
            "q_within_label": q[chosen],
            "cosine": cosine(scores.test, picked),
            "r_within_positives": within,
            "activation_frequency": (picked > 0).mean(axis=0),
        }
    )


def margin(
    latent: Float[ndarray, "sequence"],
    baselines: Mapping[str, Float[ndarray, "sequence"]],
    scores: Float[ndarray, "sequence"],
    weights: Int[ndarray, "resample sequence"],
    level: float,
) -> pd.DataFrame:
    """Correlation of the best latent minus that of each baseline's best unit, on the same resamples.

    Columns baseline, difference, low, high.
    """
    columns = np.stack([latent, *baselines.values()], axis=1)
    r = correlation(scores, columns)
    resampled = correlations(np.broadcast_to(scores, weights.shape), columns, weights.astype(float))
    rows = []
    for place, name in enumerate(baselines, start=1):
        low, high = interval(resampled[:, 0] - resampled[:, place], level)
        rows.append({"baseline": name, "difference": r[0] - r[place], "low": low, "high": high})
    return pd.DataFrame(rows)


def both_signs(units: Float[ndarray, "sequence unit"]) -> Float[ndarray, "sequence unit+unit"]:
    """The units and their negatives: a direction, unlike a latent, may follow the motif downwards."""
    return np.concatenate([units, -units], axis=1)


def principal_components(train: Float32[ndarray, "sequence d"], count: int) -> Float32[ndarray, "d component"]:
    """The first `count` principal directions of the training activations, one a column."""
    _, _, directions = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    components: Float32[ndarray, "d component"] = directions[:count].T
    return components
