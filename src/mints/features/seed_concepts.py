"""Concept scores as an earlier system defines them, beside which ours stand; its known faults are kept on purpose.

Decode-gLM (Maiwald et al. 2025): a latent's labels are guessed from its top 20 tokens, its target is the union of all
of them, and its thresholds are whole numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import csc_array

from mints.features.concepts import ConceptLabels, Matrix

TOP, SHARE_OF_TOP = 20, 10
"""A label is a candidate where so many of so many top tokens carry it."""


class SeedF1(NamedTuple):
    """Figures at one threshold."""

    f1: float
    precision: float
    recall: float
    threshold: float


def candidate_labels(
    values: Float[ndarray, "token"], carried: Bool[ndarray, "token concept"]
) -> Int[ndarray, "candidate"]:
    """Concepts on at least 10 of a latent's 20 top tokens; none where one of these 20 is silent."""
    if len(values) < TOP:
        return np.zeros(0, dtype=np.int64)
    top = np.argsort(-values, kind="stable")[:TOP]
    if (values[top] == 0).any():
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(carried[top].sum(0) >= SHARE_OF_TOP)


def whole_thresholds(values: Float[ndarray, "token"]) -> range:
    """0, 1, …, below the rounded maximum, and 0 at least: an autoencoder whose activations stay small has no other."""
    return range(max(1, round(float(values.max(initial=0.0)))))


def standard(values: Float[ndarray, "token"], target: Bool[ndarray, "token"], threshold: float) -> SeedF1:
    """`standard`: precision and recall over tokens, called above the threshold."""
    called = values > threshold
    return _f1(_share(called & target, called), _share(called & target, target), threshold)


def domain(
    values: Float[ndarray, "token"], target: Bool[ndarray, "token"], sequence: Int[ndarray, "token"], threshold: float
) -> SeedF1:
    """`domain`: precision over tokens, recall over *sequences* that have the label, by their best labelled token.

    sequence: ascending. Several regions of one sequence count as one, so that this is no recall of regions.
    """
    called = values > threshold
    labelled = sequence[target]
    first = np.flatnonzero(np.diff(labelled, prepend=-1))
    best = np.maximum.reduceat(values[target], first) if len(first) else np.zeros(0)
    return _f1(_share(called & target, called), float((best > threshold).mean()) if len(best) else 0.0, threshold)


class SeedScore(NamedTuple):
    """A concept's best latent by an earlier system's own procedure."""

    latent: int
    """-1 where no latent's top tokens tell of the concept."""

    validation: float
    test: float
    """F1; NaN where there is no latent."""


class Side(NamedTuple):
    """Latents and labels of the tokens of one split."""

    latents: Matrix
    labels: ConceptLabels
    sequence: Int[ndarray, "token"]
    """Ascending."""


def decode_glm(validation: Side, test: Side, kind: str) -> list[SeedScore]:
    """Decode-gLM's best latent of every concept; kind: standard or domain.

    A latent is a concept's where the concept is among the labels guessed for it. It is scored against the union of
    those labels: a latent of a rare concept that lies within a frequent one gets the frequent one's F1.
    """
    carried: Bool[ndarray, "token concept"] = validation.labels.tokens.toarray()
    later: Bool[ndarray, "token concept"] = test.labels.tokens.toarray()
    best = [SeedScore(-1, np.nan, np.nan)] * len(validation.labels.names)
    columns, held_out = csc_array(validation.latents), csc_array(test.latents)
    for latent in np.flatnonzero(np.diff(columns.indptr) >= TOP):
        values = columns[:, [latent]].toarray()[:, 0]
        candidates = candidate_labels(values, carried)
        if not len(candidates):
            continue
        target = np.asarray(carried[:, candidates].any(axis=1))
        scores = [_score(kind, values, target, validation.sequence, limit) for limit in whole_thresholds(values)]
        chosen = max(scores, key=lambda score: score.f1)
        better = [concept for concept in candidates if not chosen.f1 <= best[concept].validation]
        if better:
            held = held_out[:, [latent]].toarray()[:, 0]
            truly = np.asarray(later[:, candidates].any(axis=1))
            reported = _score(kind, held, truly, test.sequence, chosen.threshold)
            for concept in better:
                best[concept] = SeedScore(int(latent), chosen.f1, reported.f1)
    return best


def _score(
    kind: str,
    values: Float[ndarray, "token"],
    target: Bool[ndarray, "token"],
    sequence: Int[ndarray, "token"],
    threshold: float,
) -> SeedF1:
    return standard(values, target, threshold) if kind == "standard" else domain(values, target, sequence, threshold)


def _share(part: Bool[ndarray, "item"], whole: Bool[ndarray, "item"]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0


def _f1(precision: float, recall: float, threshold: float) -> SeedF1:
    both = precision + recall
    return SeedF1(2 * precision * recall / both if both else 0.0, precision, recall, threshold)
