"""Linear probes: what can be read off a representation, with everything chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse

from mints.analysis.bootstrap import cluster_weights
from mints.analysis.logistic import LinearModel, fit_path
from mints.analysis.metrics import auroc, evaluate, scored, sigmoid

Features = Float[ndarray, "row feature"] | sparse.csr_matrix

BINS = 10
"""Bins of a calibration curve, of equal width in probability."""


class Labelled(NamedTuple):
    """Features and labels of one split."""

    features: Features
    labels: Int[ndarray, "row"]


class Probe(NamedTuple):
    """A logistic probe and how it was chosen."""

    model: LinearModel
    penalty: float
    """The chosen C."""

    validation_auroc: float


class LayerVectors(NamedTuple):
    """One layer's vectors of a task, by split."""

    train: Labelled
    validation: Labelled
    test: Labelled


def area(labels: Int[ndarray, "row"], scores: Float[ndarray, "row"]) -> float:
    """AUROC of scores; NaN where a class is absent."""
    return float(auroc(scored(labels, scores), np.ones((1, len(labels))))[0])


def fit_probe(train: Labelled, validation: Labelled, penalties: Sequence[float]) -> Probe:
    """The probe with the best validation AUROC; ties go to the stronger penalty. No other rows are seen.

    penalties: values of C, of which smaller ones penalise more.
    """
    ascending = sorted(penalties)
    models = fit_path(train.features, train.labels, ascending)
    scores = [area(validation.labels, model.logits(validation.features)) for model in models]
    best = int(np.argmax(np.round(scores, 12)))
    return Probe(models[best], ascending[best], scores[best])


class LayerProbes(NamedTuple):
    """Probes of all layers of one task."""

    probes: dict[int, Probe]
    chosen: int
    """The layer that conclusions use: fixed beforehand, or best on validation."""


def fit_layers(layers: dict[int, LayerVectors], penalties: Sequence[float], fixed_layer: int | None) -> LayerProbes:
    """A probe per layer."""
    probes = {layer: fit_probe(part.train, part.validation, penalties) for layer, part in layers.items()}
    best = max(probes, key=lambda layer: probes[layer].validation_auroc)
    return LayerProbes(probes, best if fixed_layer is None else fixed_layer)


def probe_metrics(
    fitted: LayerProbes,
    layers: dict[int, LayerVectors],
    clusters: Int[ndarray, "row"],
    *,
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> list[dict[str, object]]:
    """One row per layer: numbers of rows, the chosen penalty, and every test metric with its interval.

    clusters: of the test rows. All layers are judged on the same resamples.
    """
    weights = cluster_weights(clusters, resamples, rng)
    rows: list[dict[str, object]] = []
    for layer, probe in fitted.probes.items():
        part = layers[layer]
        rows.append(
            {
                "layer": layer,
                "chosen": layer == fitted.chosen,
                "n_train": len(part.train.labels),
                "n_validation": len(part.validation.labels),
                "n_test": len(part.test.labels),
                "penalty": probe.penalty,
                "validation_auroc": probe.validation_auroc,
                **evaluate(part.test.labels, probe.model.logits(part.test.features), weights, level),
            }
        )
    return rows


def reliability(labels: Int[ndarray, "row"], logits: Float[ndarray, "row"], level: float) -> list[dict[str, float]]:
    """Calibration curve: per bin the mean predicted and the observed share of positives, with a Wilson interval."""
    from scipy.stats import norm

    probability = sigmoid(logits)
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    quantile = float(norm.ppf(0.5 + level / 2))
    rows = []
    for index in np.unique(bins):
        inside = bins == index
        n, observed = int(inside.sum()), float(labels[inside].mean())
        low, high = wilson(observed, n, quantile)
        rows.append(
            {
                "bin_low": index / BINS,
                "bin_high": (index + 1) / BINS,
                "mean_predicted": float(probability[inside].mean()),
                "observed": observed,
                "low": low,
                "high": high,
                "n": n,
            }
        )
    return rows


def wilson(share: float, n: int, quantile: float) -> tuple[float, float]:
    """Wilson's interval of a share (Wilson 1927)."""
    spread = quantile**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = quantile * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return float(centre - half), float(centre + half)
