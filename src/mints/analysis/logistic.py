"""L2-regularised logistic regression on standardised features, for several penalties at once.

Minimises  Σᵢ log(1 + exp(−yᵢ zᵢ)) / n + ‖w‖² / (2 C n),  z = X_s w + b,  y = ±1: scikit-learn's objective over C n,
where X_s is X standardised with its own mean and spread. Dense features are never copied into float64 where they are
large, and sparse ones are never made dense: the mean is subtracted from the products instead.

Narrow data (fewer columns than rows) are preconditioned by the curvature at w = 0, Σ x xᵀ / 4 (Böhning & Lindsay 1988):
one eigendecomposition serves all penalties, and L-BFGS then takes tens of steps where it took hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse
from scipy.optimize import minimize

LARGE = 10_000_000
"""Dense matrices of more numbers are multiplied in float32; sums over rows stay in float64."""

MAX_STEPS = 300
TOLERANCE = 1e-5
"""Largest component of the preconditioned gradient at the end."""


class LinearModel(NamedTuple):
    """A linear score of raw features."""

    weights: Float[ndarray, "feature"]
    bias: float

    def logits(self, features: Float[ndarray, "row feature"] | sparse.csr_matrix) -> Float[ndarray, "row"]:
        """Score of each row."""
        return np.asarray(features @ self.weights, dtype=float).ravel() + self.bias


class Design(NamedTuple):
    """Features with what standardises them."""

    features: Float[ndarray, "row feature"] | sparse.csr_matrix
    mean: Float[ndarray, "feature"]
    spread: Float[ndarray, "feature"]
    """Standard deviation; 1 for a feature that does not vary, which then has no weight."""

    def logits(self, weights: Float[ndarray, "feature"], bias: float) -> Float[ndarray, "row"]:
        """X_s w + b."""
        scaled = weights / self.spread
        products: Float[ndarray, "row"] = self._times(scaled)
        return products + (bias - float(self.mean @ scaled))

    def gradient(self, residual: Float[ndarray, "row"]) -> Float[ndarray, "feature"]:
        """X_sᵀ r."""
        cast = residual if sparse.issparse(self.features) else residual.astype(self.features.dtype)
        products = np.asarray(self.features.T @ cast, dtype=float).ravel()
        slope: Float[ndarray, "feature"] = (products - self.mean * residual.sum()) / self.spread
        return slope

    def _times(self, vector: Float[ndarray, "feature"]) -> Float[ndarray, "row"]:
        cast = vector if sparse.issparse(self.features) else vector.astype(self.features.dtype)
        return np.asarray(self.features @ cast, dtype=float).ravel()


class Preconditioner(NamedTuple):
    """Curvature at w = 0 in its own axes."""

    axes: Float[ndarray, "feature axis"] | None
    """None: the features' own axes."""

    curvature: Float[ndarray, "axis"]

    def to_weights(self, steps: Float[ndarray, "axis"], ridge: float) -> Float[ndarray, "feature"]:
        """Weights of a point in preconditioned coordinates."""
        scaled = steps / np.sqrt(self.curvature + ridge)
        return scaled if self.axes is None else self.axes @ scaled

    def to_steps(self, gradient: Float[ndarray, "feature"], ridge: float) -> Float[ndarray, "axis"]:
        """Gradient in preconditioned coordinates."""
        turned = gradient if self.axes is None else self.axes.T @ gradient
        return turned / np.sqrt(self.curvature + ridge)

    def from_weights(self, weights: Float[ndarray, "feature"], ridge: float) -> Float[ndarray, "axis"]:
        """Preconditioned coordinates of weights."""
        turned = weights if self.axes is None else self.axes.T @ weights
        return turned * np.sqrt(self.curvature + ridge)


def fit_path(
    features: Float[ndarray, "row feature"] | sparse.csr_matrix,
    labels: Int[ndarray, "row"],
    penalties: Sequence[float],
) -> list[LinearModel]:
    """One model per penalty C, in the order given; stronger penalties are fitted first and start the weaker ones.

    Raises ValueError where a class is absent.
    """
    if len(np.unique(labels)) < 2:
        raise ValueError("logistic regression needs both classes")
    design = standardised(features)
    preconditioner = _precondition(design)
    signs = np.where(labels > 0, 1.0, -1.0)
    models: dict[float, LinearModel] = {}
    weights, bias = np.zeros(design.mean.shape), float(np.log(labels.mean() / (1 - labels.mean())))
    for penalty in sorted(set(penalties)):
        weights, bias = _fit(design, signs, penalty, preconditioner, weights, bias)
        raw = weights / design.spread
        models[penalty] = LinearModel(raw, bias - float(design.mean @ raw))
    return [models[penalty] for penalty in penalties]


def standardised(features: Float[ndarray, "row feature"] | sparse.csr_matrix) -> Design:
    """Design of these features; large dense ones are kept in float32."""
    kept: Any
    mean: Float[ndarray, "feature"]
    variance: Float[ndarray, "feature"]
    if sparse.issparse(features):
        rows = features.shape[0]
        mean = np.asarray(features.mean(axis=0), dtype=float).ravel()
        square = np.asarray(features.multiply(features).sum(axis=0), dtype=float).ravel() / rows
        variance = square - mean**2
        kept = sparse.csr_matrix(features, dtype=float)
    else:
        kept = np.asarray(features, dtype=np.float32 if features.size > LARGE else float)
        mean, variance = kept.mean(axis=0, dtype=float), kept.var(axis=0, dtype=float)
    varies = variance > 1e-12 * np.maximum(mean**2, 1e-12)
    return Design(kept, mean, np.where(varies, np.sqrt(np.maximum(variance, 0)), 1.0))


def _precondition(design: Design) -> Preconditioner:
    rows, columns = design.features.shape
    if columns > rows or sparse.issparse(design.features):
        return Preconditioner(None, np.full(columns, 0.25))
    products = np.asarray(design.features.T @ design.features, dtype=float) / rows
    covariance = (products - np.outer(design.mean, design.mean)) / np.outer(design.spread, design.spread)
    values, axes = np.linalg.eigh(covariance)
    return Preconditioner(axes, 0.25 * np.maximum(values, 0))


def _fit(
    design: Design,
    signs: Float[ndarray, "row"],
    penalty: float,
    preconditioner: Preconditioner,
    weights: Float[ndarray, "feature"],
    bias: float,
) -> tuple[Float[ndarray, "feature"], float]:
    """Weights (of standardised features) and intercept at the optimum, starting from the ones given."""
    rows = len(signs)
    ridge = 1 / (penalty * rows)

    def objective(point: Float[ndarray, "coordinate"]) -> tuple[float, Float[ndarray, "coordinate"]]:
        here = preconditioner.to_weights(point[:-1], ridge)
        margin = signs * design.logits(here, 2 * point[-1])
        loss = np.logaddexp(0, -margin).mean() + 0.5 * ridge * float(here @ here)
        residual = -signs * 0.5 * (1 - np.tanh(0.5 * margin)) / rows
        slope = preconditioner.to_steps(design.gradient(residual) + ridge * here, ridge)
        return loss, np.append(slope, 2 * residual.sum())

    start = np.append(preconditioner.from_weights(weights, ridge), bias / 2)
    options: Any = {"maxiter": MAX_STEPS, "gtol": TOLERANCE, "ftol": 0.0, "maxcor": 20}
    end = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    return preconditioner.to_weights(end[:-1], ridge), float(2 * end[-1])
