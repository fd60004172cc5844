"""Probe controls: everything that could explain a probe's figure, beside it in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import cluster_weights, interval
from mints.analysis.floors import Floor, SplitSequences, boosted_floor, gc_floor, kmer_floor, metadata_floor
from mints.analysis.metrics import evaluate, resampled_auroc, scored
from mints.analysis.probes import Labelled, LayerVectors, area, fit_probe
from mints.data.composition import gc_content

CALIPER = 0.02
"""Largest difference in GC content between a matched pair of test sequences."""

FEWEST = 10
"""Fewest rows of a class for which a figure is given."""

LABELS = {
    "residual_probe": "residual probe",
    "gc_content": "GC content",
    "kmer_logistic": "k-mer counts, logistic",
    "kmer_boosted": "k-mer counts, boosted trees",
    "metadata": "length and position",
    "gc_matched_test": "probe, GC-matched test set",
    "gc_matched_test_gc_only": "GC content, GC-matched test set",
    "random_labels": "probe of random labels",
    "low_to_high_gc": "probe, low GC → high GC",
    "high_to_low_gc": "probe, high GC → low GC",
    "random_initialisation": "probe of a random model",
    "shuffled_sequences": "probe of shuffled sequences",
    "shuffled_test_sequences": "probe, shuffled test sequences",
}
RANKING = ("auroc", "auprc")
"""Metrics of a control: those that need no calibrated probability, which a floor need not give."""

FLOORS = ("kmer_logistic", "kmer_boosted")
"""Controls among which validation names the floor that a claim must exceed."""


class TaskActivations(NamedTuple):
    """What the controls of one task are computed from, at the layer that conclusions use."""

    name: str
    layer: int
    rows: SplitSequences
    residual: LayerVectors
    random_initialisation: LayerVectors
    shuffled: LayerVectors


class Judge(NamedTuple):
    """How every row is scored: the probe's own test scores, and the resamples that all rows share."""

    labels: Int[ndarray, "row"]
    probe_logits: Float[ndarray, "row"]
    weights: Int[ndarray, "resample row"]
    probe_auroc: Float[ndarray, "resample"]
    level: float


class Controls(NamedTuple):
    """Controls of one task."""

    table: pd.DataFrame
    test_scores: dict[str, Float[ndarray, "row"]]
    """Scores of all test rows, by control: for those that score all of them."""


def probe_controls(
    task: TaskActivations,
    *,
    penalties: Sequence[float],
    resamples: int,
    level: float,
    random_label_runs: int,
    rng: np.random.Generator,
) -> Controls:
    """One row per control: its test AUROC and AUPRC with intervals, and the paired difference probe − control.

    Differences are on the same test rows and resamples; they are missing where a control has a test set of its own.
    A control that cannot be computed (a class of fewer than `FEWEST` rows) keeps its row, with a note.
    """
    # One child generator for each use, so that no control changes another.
    for_weights, for_labels, for_matching, for_shift, for_trees = rng.spawn(5)
    train, validation, test = task.residual
    probe = fit_probe(train, validation, penalties)
    weights = cluster_weights(task.rows.test["cluster"].to_numpy(), resamples, for_weights)
    logits = probe.model.logits(test.features)
    judge = Judge(test.labels, logits, weights, resampled_auroc(scored(test.labels, logits), weights), level)
    gc = gc_floor(task.rows, penalties)
    floors = {
        "gc_content": gc,
        "kmer_logistic": kmer_floor(task.rows, penalties),
        "kmer_boosted": boosted_floor(task.rows, int(for_trees.integers(2**31))),
        "metadata": metadata_floor(task.rows, penalties),
    }
    scores = {"residual_probe": logits}
    scores |= {name: floor.test_scores for name, floor in floors.items() if floor is not None}
    best = max(FLOORS, key=lambda name: floors[name].validation_auroc)  # type: ignore[union-attr]
    rows = [
        _row("residual_probe", judge, logits, validation_auroc=probe.validation_auroc, note=f"C = {probe.penalty:g}")
    ]
    for name, floor in floors.items():
        rows.append(_floor_row(name, floor, judge) | {"chosen_on_validation": name == best})
    rows += _gc_matched_rows(task, judge, gc, for_matching)
    rows.append(_random_label_row(task, judge, penalties, random_label_runs, for_labels))
    rows += _gc_shift_rows(task, judge, penalties, for_shift)
    for name, vectors in (("random_initialisation", task.random_initialisation), ("shuffled_sequences", task.shuffled)):
        other = fit_probe(vectors.train, vectors.validation, penalties)
        scores[name] = other.model.logits(vectors.test.features)
        note = f"C = {other.penalty:g}"
        rows.append(_row(name, judge, scores[name], validation_auroc=other.validation_auroc, note=note))
    rows.append(_row("shuffled_test_sequences", judge, probe.model.logits(task.shuffled.test.features)))
    shared = {"task": task.name, "layer": task.layer, "n_train": len(train.labels), "chosen_on_validation": False}
    return Controls(pd.DataFrame([shared | row for row in rows], columns=COLUMNS), scores)


COLUMNS = [
    "task",
    "control",
    "label",
    "layer",
    "n_train",
    "n_test",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auprc",
    "auprc_low",
    "auprc_high",
    "difference",
    "difference_low",
    "difference_high",
    "validation_auroc",
    "chosen_on_validation",
    "note",
]


def beyond_composition(table: pd.DataFrame) -> pd.DataFrame:
    """Per task: the probe against the k-mer floor that validation chose, with the paired interval and a verdict."""
    rows = []
    for task, part in table.groupby("task", sort=False):
        by_control = part.set_index("control")
        probe = by_control.loc["residual_probe"]
        floor = by_control[by_control["chosen_on_validation"].astype(bool)].iloc[0]
        rows.append(
            {
                "task": task,
                "layer": probe["layer"],
                "probe": probe["auroc"],
                "best_floor": floor.name,
                "floor": floor["auroc"],
                "difference": floor["difference"],
                "difference_low": floor["difference_low"],
                "difference_high": floor["difference_high"],
                "linear_floor": by_control.loc["kmer_logistic", "auroc"],
                "boosted_floor": by_control.loc["kmer_boosted", "auroc"],
                "verdict": _verdict(floor["difference_low"], floor["difference_high"]),
            }
        )
    return pd.DataFrame(rows)


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "beyond the k-mer floor"
    return "below the k-mer floor" if high < 0 else "not beyond the k-mer floor"


def _row(
    control: str,
    judge: Judge,
    scores: Float[ndarray, "row"],
    *,
    validation_auroc: float = np.nan,
    note: str = "",
) -> dict[str, object]:
    """A control on the probe's own test rows."""
    figures = evaluate(judge.labels, scores, judge.weights, judge.level, RANKING)
    test = scored(judge.labels, scores)
    differences = judge.probe_auroc - resampled_auroc(test, judge.weights)
    low, high = interval(differences, judge.level)
    is_probe = control == "residual_probe"
    return _named(control, figures, len(judge.labels), note) | {
        "difference": np.nan if is_probe else area(judge.labels, judge.probe_logits) - figures["auroc"],
        "difference_low": np.nan if is_probe else float(low),
        "difference_high": np.nan if is_probe else float(high),
        "validation_auroc": validation_auroc,
    }


def _floor_row(control: str, floor: Floor | None, judge: Judge) -> dict[str, object]:
    if floor is None:
        return _named(control, {}, 0, "rows have no coordinates")
    return _row(control, judge, floor.test_scores, validation_auroc=floor.validation_auroc, note=floor.detail)


def _named(control: str, figures: dict[str, float], n_test: int, note: str) -> dict[str, object]:
    kept = {name: figures.get(name, np.nan) for name in COLUMNS if name.startswith(("auroc", "auprc"))}
    return {"control": control, "label": LABELS[control], "n_test": n_test, "note": note} | kept


def _on_subset(
    control: str,
    labels: Int[ndarray, "row"],
    scores: Float[ndarray, "row"],
    weights: Int[ndarray, "resample row"],
    level: float,
    note: str,
) -> dict[str, object]:
    """A control on test rows of its own; there is no paired difference then."""
    if min(np.bincount(labels, minlength=2)) < FEWEST:
        return _named(control, {}, len(labels), f"fewer than {FEWEST} rows of a class; {note}".rstrip("; "))
    return _named(control, evaluate(labels, scores, weights, level, RANKING), len(labels), note)


def gc_matched_rows(
    labels: Int[ndarray, "row"], gc: Float[ndarray, "row"], rng: np.random.Generator
) -> Int[ndarray, "kept"]:
    """Test rows of pairs (positive, negative) that agree in GC content within the caliper, each row used once.

    Positives are taken in random order, each with the nearest negative that is left.
    """
    positives = rng.permutation(np.flatnonzero(labels == 1))
    negatives = np.flatnonzero(labels == 0)
    free = np.ones(len(negatives), dtype=bool)
    kept: list[int] = []
    for row in positives:
        distance = np.where(free, np.abs(gc[negatives] - gc[row]), np.inf)
        nearest = int(distance.argmin()) if len(distance) else -1
        if nearest >= 0 and distance[nearest] <= CALIPER + 1e-12:
            free[nearest] = False
            kept += [int(row), int(negatives[nearest])]
    return np.sort(np.array(kept, dtype=np.int64))


def _gc_matched_rows(
    task: TaskActivations, judge: Judge, gc: Floor, rng: np.random.Generator
) -> list[dict[str, object]]:
    for_matching, for_weights = rng.spawn(2)
    kept = gc_matched_rows(judge.labels, gc_content(task.rows.test["sequence"].tolist()), for_matching)
    clusters = task.rows.test["cluster"].to_numpy()[kept]
    note = f"{len(kept) // 2} pairs within {CALIPER:g} of {int((judge.labels == 1).sum())} positives"
    weights = cluster_weights(clusters, len(judge.weights), for_weights) if len(kept) else judge.weights[:, :0]
    return [
        _on_subset(name, judge.labels[kept], scores[kept], weights, judge.level, note)
        for name, scores in (("gc_matched_test", judge.probe_logits), ("gc_matched_test_gc_only", gc.test_scores))
    ]


def _random_label_row(
    task: TaskActivations, judge: Judge, penalties: Sequence[float], runs: int, rng: np.random.Generator
) -> dict[str, object]:
    """Mean over probes of permuted labels; the interval is the spread over repeats and resamples together."""
    train, validation, test = task.residual
    areas, differences = [], []
    for _ in range(runs):
        shuffled_train = Labelled(train.features, rng.permutation(train.labels))
        shuffled_validation = Labelled(validation.features, rng.permutation(validation.labels))
        model = fit_probe(shuffled_train, shuffled_validation, penalties).model
        resampled = resampled_auroc(scored(test.labels, model.logits(test.features)), judge.weights)
        areas.append(resampled)
        differences.append(judge.probe_auroc - resampled)
    low, high = interval(np.concatenate(areas), judge.level)
    difference_low, difference_high = interval(np.concatenate(differences), judge.level)
    figures = {"auroc": float(np.nanmean(areas)), "auroc_low": float(low), "auroc_high": float(high)}
    spread = float(np.std([np.nanmean(each) for each in areas]))
    note = f"{runs} repeats, standard deviation {spread:.3f}"
    return _named("random_labels", figures, len(test.labels), note) | {
        "difference": float(np.nanmean(differences)),
        "difference_low": float(difference_low),
        "difference_high": float(difference_high),
    }


def _gc_shift_rows(
    task: TaskActivations, judge: Judge, penalties: Sequence[float], rng: np.random.Generator
) -> list[dict[str, object]]:
    """Probes trained on sequences below (above) the training median of GC content, tested on those above (below)."""
    gc = [gc_content(part["sequence"].tolist()) for part in task.rows]
    median = float(np.median(gc[0]))
    low = [values <= median for values in gc]
    rows = []
    for_low, for_high = rng.spawn(2)
    for control, trained, tested, for_weights in (
        ("low_to_high_gc", [low[0], low[1]], ~low[2], for_low),
        ("high_to_low_gc", [~low[0], ~low[1]], low[2], for_high),
    ):
        parts = [_subset(part, mask) for part, mask in zip(task.residual[:2], trained, strict=True)]
        test = _subset(task.residual.test, tested)
        if any(min(np.bincount(part.labels, minlength=2)) < FEWEST for part in [*parts, test]):
            rows.append(_named(control, {}, len(test.labels), f"fewer than {FEWEST} rows of a class in a half"))
            continue
        scores = fit_probe(parts[0], parts[1], penalties).model.logits(test.features)
        weights = cluster_weights(task.rows.test["cluster"].to_numpy()[tested], len(judge.weights), for_weights)
        row = _on_subset(control, test.labels, scores, weights, judge.level, f"median GC {median:.3f}")
        rows.append(row | {"n_train": int(trained[0].sum())})
    return rows


def _subset(part: Labelled, mask: Bool[ndarray, "row"]) -> Labelled:
    return Labelled(part.features[mask], part.labels[mask])
