"""Floors: what is decodable from sequence without any model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from mints.analysis.probes import Labelled, Probe, area, fit_probe
from mints.data.composition import gc_content, kmer_counts

KMER_LIMITS = (1, 2, 3, 4, 6)
"""Longest k-mers among which validation chooses; all shorter ones take part too."""

BOOSTED_ORDERS = (1, 2, 3, 4)
MAX_TREES, LEARNING_RATE, TREES_PER_CHECK = 200, 0.1, 20
"""Boosting: validation chooses among the ensembles of 20, 40, … 200 trees."""


class Floor(NamedTuple):
    """Scores of a baseline."""

    validation_auroc: float
    test_scores: Float[ndarray, "row"]
    """Higher is more positive."""

    detail: str
    """What was chosen on validation."""


class SplitSequences(NamedTuple):
    """Sequences and labels of a task, by split, with coordinates where there are any."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def gc_floor(rows: SplitSequences, penalties: Sequence[float]) -> Floor:
    """GC content alone."""
    return _logistic_floor([gc_content(part["sequence"].tolist())[:, None] for part in rows], rows, penalties, "")


def metadata_floor(rows: SplitSequences, penalties: Sequence[float]) -> Floor | None:
    """Sequence length and place on the chromosome; None where rows have no coordinates.

    The chromosome itself is left out: test chromosomes occur in no training row.
    """
    if any(part["start"].isna().any() for part in rows):
        return None
    features = [
        np.stack([part["sequence"].str.len().to_numpy(float), part["start"].to_numpy(float) / 1e6], axis=1)
        for part in rows
    ]
    return _logistic_floor(features, rows, penalties, "length, position")


def kmer_floor(rows: SplitSequences, penalties: Sequence[float]) -> Floor:
    """Logistic regression on counts of all k-mers up to a length that validation chooses."""
    counts = [kmer_counts(part["sequence"].tolist(), range(1, max(KMER_LIMITS) + 1)) for part in rows]
    labels = [part["label"].to_numpy() for part in rows]
    best: tuple[Probe, int] | None = None
    for limit in KMER_LIMITS:
        columns = sum(4**k for k in range(1, limit + 1))
        train, validation = (Labelled(counts[i][:, :columns], labels[i]) for i in (0, 1))
        probe = fit_probe(train, validation, penalties)
        if best is None or probe.validation_auroc > best[0].validation_auroc:
            best = (probe, limit)
    assert best is not None
    probe, limit = best
    scores = probe.model.logits(counts[2][:, : len(probe.model.weights)])
    return Floor(probe.validation_auroc, scores, f"k ≤ {limit}, C = {probe.penalty:g}")


def boosted_floor(rows: SplitSequences, seed: int) -> Floor:
    """Boosted trees on counts of k-mers up to 4; the number of trees is chosen on validation."""
    counts = [kmer_counts(part["sequence"].tolist(), BOOSTED_ORDERS).toarray() for part in rows]
    labels = [part["label"].to_numpy() for part in rows]
    trees = HistGradientBoostingClassifier(  # type: ignore[no-untyped-call]
        learning_rate=LEARNING_RATE, max_iter=MAX_TREES, early_stopping=False, random_state=seed
    )
    limited: Callable[[int], AbstractContextManager[object]] = threadpool_limits
    with limited(1):  # small trees on busy cores: threads that wait for one another cost many times the work
        trees.fit(counts[0], labels[0])
    stages: Callable[[ndarray], Iterator[ndarray]] = trees.staged_decision_function
    staged = zip(stages(counts[1]), stages(counts[2]), strict=True)
    best, best_scores, best_size = -np.inf, np.zeros(len(labels[2])), 0
    for size, (on_validation, on_test) in enumerate(staged, start=1):
        value = area(labels[1], on_validation) if size % TREES_PER_CHECK == 0 else -np.inf
        if value > best:
            best, best_scores, best_size = value, on_test.copy(), size
    return Floor(float(best), best_scores, f"k ≤ {max(BOOSTED_ORDERS)}, {best_size} trees")


def _logistic_floor(
    features: Sequence[Float[ndarray, "row feature"]], rows: SplitSequences, penalties: Sequence[float], detail: str
) -> Floor:
    parts = [Labelled(matrix, part["label"].to_numpy()) for matrix, part in zip(features, rows, strict=True)]
    probe = fit_probe(parts[0], parts[1], penalties)
    return Floor(probe.validation_auroc, probe.model.logits(parts[2].features), detail)
