"""Several models on the same task: every figure on the same test rows, every difference on the same resamples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import cluster_weights, interval
from mints.analysis.metrics import Judged, judge, with_intervals
from mints.analysis.probes import LayerVectors, fit_layers, fit_probe

PROBE, TWIN, SHUFFLED, GC = "residual_probe", "random_initialisation", "shuffled_sequences", "gc_content"
OWN_CONTROLS = (TWIN, SHUFFLED)
"""Controls that every model has for itself."""

FLOORS = (GC, "kmer_logistic", "kmer_boosted")
"""Controls that need no model, and that all models share."""

PROBE_METRICS = ("auroc", "auprc", "accuracy", "mcc")
COMPARED = ("auroc", "auprc")
"""Metrics of which differences are given."""

MEAN = "mean of tasks"


class ScoredModel(NamedTuple):
    """A model's probe and its own controls on one task."""

    layer: int
    penalty: float
    validation_auroc: float
    scores: Mapping[str, Float[ndarray, "row"]]
    """Scores of the test rows, of the probe and of `OWN_CONTROLS`."""


class TaskScores(NamedTuple):
    """Everything that is compared on one task."""

    name: str
    labels: Int[ndarray, "row"]
    """Of the test rows; so are the clusters and all scores."""

    clusters: Int[ndarray, "row"]
    models: Mapping[str, ScoredModel]
    floors: Mapping[str, Float[ndarray, "row"]]
    """Scores of `FLOORS`."""

    best_floor: str
    """The k-mer floor that validation chose."""


class JudgedTask(NamedTuple):
    """A task's metrics in the data and in every resample."""

    scores: TaskScores
    models: dict[str, dict[str, Judged]]
    """By model, then by probe and own control."""

    floors: dict[str, Judged]


def score_model(
    residual: dict[int, LayerVectors],
    controls: Mapping[str, dict[int, LayerVectors]],
    penalties: Sequence[float],
    fixed_layer: int | None,
) -> ScoredModel:
    """Probes of a model with layer and penalty chosen on validation, and its own controls at that layer."""
    fitted = fit_layers(residual, penalties, fixed_layer)
    probe = fitted.probes[fitted.chosen]
    scores = {PROBE: probe.model.logits(residual[fitted.chosen].test.features)}
    for name, layers in controls.items():
        part = layers[fitted.chosen]
        scores[name] = fit_probe(part.train, part.validation, penalties).model.logits(part.test.features)
    return ScoredModel(fitted.chosen, probe.penalty, probe.validation_auroc, scores)


def judge_task(task: TaskScores, resamples: int, rng: np.random.Generator) -> JudgedTask:
    """Every metric of every model and floor on one set of cluster resamples."""
    weights = cluster_weights(task.clusters, resamples, rng)
    models = {
        name: {
            predictor: judge(task.labels, scores, weights, PROBE_METRICS if predictor == PROBE else COMPARED)
            for predictor, scores in model.scores.items()
        }
        for name, model in task.models.items()
    }
    floors = {name: judge(task.labels, scores, weights, COMPARED) for name, scores in task.floors.items()}
    return JudgedTask(task, models, floors)


def probe_rows(task: JudgedTask, level: float) -> list[dict[str, object]]:
    """One row per model: its probe with intervals, and the AUROC of its own controls and of the floors beside it."""
    rows: list[dict[str, object]] = []
    for name, judged in task.models.items():
        model = task.scores.models[name]
        floor = difference(judged[PROBE], task.floors[task.scores.best_floor], "auroc", level)
        twin = difference(judged[PROBE], judged[TWIN], "auroc", level)
        beside = {control: judged[control].value["auroc"] for control in OWN_CONTROLS}
        beside |= {control: task.floors[control].value["auroc"] for control in FLOORS}
        rows.append(
            {
                "task": task.scores.name,
                "model": name,
                "layer": model.layer,
                "penalty": model.penalty,
                "n_test": len(task.scores.labels),
                "validation_auroc": model.validation_auroc,
                **with_intervals(judged[PROBE], level),
                **beside,
                "best_floor": task.scores.best_floor,
                **_named("beyond_floor", floor),
                **_named("beyond_twin", twin),
            }
        )
    return rows


class Difference(NamedTuple):
    """A paired difference with its interval."""

    value: float
    low: float
    high: float
    resampled: Float[ndarray, "resample"]


def difference(first: Judged, second: Judged, metric: str, level: float) -> Difference:
    """What `first` exceeds `second` by, on the same resamples."""
    return _of(first.value[metric] - second.value[metric], first.resampled[metric] - second.resampled[metric], level)


def _of(value: float, resampled: Float[ndarray, "resample"], level: float) -> Difference:
    low, high = interval(resampled, level)
    return Difference(float(value), float(low), float(high), resampled)


def difference_table(tasks: Sequence[JudgedTask], level: float) -> pd.DataFrame:
    """Every pair of models, and every model against its best floor, GC content and its own controls; AUROC and AUPRC.

    Last comes the mean of each difference over the tasks, whose resamples are drawn apart.
    """
    found: dict[tuple[str, str, str, str], list[Difference]] = {}
    rows = []
    for task in tasks:
        for kind, first, second, pair in _pairs(task):
            for metric in COMPARED:
                gap = difference(*pair, metric, level)
                found.setdefault((kind, metric, first, second), []).append(gap)
                rows.append(_difference_row(task.scores.name, kind, metric, first, second, gap))
    for key, gaps in found.items():
        mean = _of(float(np.mean([gap.value for gap in gaps])), np.mean([gap.resampled for gap in gaps], axis=0), level)
        rows.append(_difference_row(MEAN, *key, mean))
    return pd.DataFrame(rows)


def _pairs(task: JudgedTask) -> Iterator[tuple[str, str, str, tuple[Judged, Judged]]]:
    """Kind, the two names, and what is subtracted from what."""
    for first, second in combinations(task.models, 2):
        yield "models", first, second, (task.models[first][PROBE], task.models[second][PROBE])
    for name, judged in task.models.items():
        for control in OWN_CONTROLS:
            yield "own control", name, control, (judged[PROBE], judged[control])
        yield "floor", name, "best_floor", (judged[PROBE], task.floors[task.scores.best_floor])
        yield "floor", name, GC, (judged[PROBE], task.floors[GC])


def _difference_row(task: str, kind: str, metric: str, first: str, second: str, gap: Difference) -> dict[str, object]:
    named = {"task": task, "kind": kind, "metric": metric, "first": first, "second": second}
    return {**named, **_named("difference", gap)}


def _named(name: str, gap: Difference) -> dict[str, float]:
    return {name: gap.value, f"{name}_low": gap.low, f"{name}_high": gap.high}


def best_head_difference(
    first: Float[ndarray, "resample head"], second: Float[ndarray, "resample head"], level: float
) -> tuple[int, int, Difference]:
    """Best head of either model, and the difference of their figures on the same resamples; row 0 is the data.

    The heads are those that are best in the data: the interval takes them as given, and the larger model has had more
    to choose from.
    """
    heads = int(np.nanargmax(first[0])), int(np.nanargmax(second[0]))
    gap = first[:, heads[0]] - second[:, heads[1]]
    return *heads, _of(gap[0], gap[1:], level)
