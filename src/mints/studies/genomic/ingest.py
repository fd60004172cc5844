"""Step: every task becomes one checked table of sequences with splits and clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mints.config import Config, Location, Task
from mints.data.composition import gc_content
from mints.data.genome import Genome
from mints.data.intervals import check_against, read_intervals
from mints.data.peaks import matched_negatives, peak_windows
from mints.data.sequences import ReadCounts
from mints.data.signal import mean_signal
from mints.data.sources import fetch
from mints.data.splits import assign_clusters, carve_validation, drop_leaked
from mints.data.tasks import read_task_table
from mints.errors import MintsError, UsageError
from mints.pipeline.run import Run

SPLITS = ("train", "validation", "test")


def run_ingest(run: Run) -> None:
    """Read the task tables and peaks, check them, split them by chromosome, and count what was left out."""
    rows: list[dict[str, object]] = []
    for task in run.track(run.config.tasks, description="reading tasks", unit="tasks"):
        table = read_task(run, task)
        check_classes(task.name, table)
        run.save(f"tasks/{task.name}.parquet", table)
        rows += summary_rows(task.name, table)
    run.save("tables/tasks.csv", pd.DataFrame(rows))


def read_task(run: Run, task: Task) -> pd.DataFrame:
    """The task's rows over all splits, leaks dropped and caps applied; what was left out goes into the manifest."""
    rng = run.rng(task.name)
    table = _peak_table(run, task, rng) if task.peaks is not None else _labelled_table(run, task)
    if not (table["split"] == "test").any():
        table = _hold_out_test(task, table, run.config)
    table = assign_clusters(table)
    if not (table["split"] == "validation").any():
        table = carve_validation(table, run.config.validation_chromosomes, run.config.validation_share, rng)
    whole = len(table)
    table = drop_leaked(table)
    run.fact(task.name, {"rows": len(table), "rows_dropped_because_a_twin_is_in_the_test_set": whole - len(table)})
    return _cap(table, run.config, rng).reset_index(drop=True)


def _labelled_table(run: Run, task: Task) -> pd.DataFrame:
    """Rows of the task's tables, with the split that each table stands for."""
    given = {"train": task.train, "validation": task.validation, "test": task.test}
    counts = ReadCounts()
    parts = [
        read_task_table(_here(location), task.positive_labels, task.negative_labels, counts).assign(split=split)
        for split, location in given.items()
        if location is not None
    ]
    if counts.other_labels:
        run.fact(f"{task.name} rows left out by label", counts.other_labels)
    if counts.replaced:
        run.fact(f"{task.name} letters replaced", dict(sorted(counts.replaced.items())))
    return pd.concat(parts, ignore_index=True)


def _peak_table(run: Run, task: Task, rng: np.random.Generator) -> pd.DataFrame:
    """Windows on the task's peaks and GC-matched windows away from them, split by chromosome."""
    if task.peaks is None or run.config.genome is None:
        raise UsageError(f"task {task.name} has peaks and needs a genome: give --genome")
    genome = Genome.open(_here(run.config.genome))
    path = _here(task.peaks)
    peaks = read_intervals(path)
    check_against(peaks, genome, path)
    windows = peak_windows(peaks, genome, task.window)
    if windows.table.empty:
        raise MintsError(f"no peak of {path} gives a window of {task.window} bases without N")
    positives = _thin(windows.table, run.config, rng)
    negatives = matched_negatives(positives, genome, peaks, rng)
    run.fact(f"{task.name} peaks", {"read": len(peaks), "used": len(positives), "not_used": windows.dropped})
    if len(negatives) < len(positives):
        run.warn(f"{len(positives) - len(negatives)} peaks of task {task.name} have no GC-matched window")
    table = pd.concat([positives.assign(label=1), negatives.assign(label=0)], ignore_index=True)
    places = zip(table["chromosome"], table["start"], table["end"], table["label"], strict=True)
    table["name"] = [f"{chromosome}:{start}-{end}|{label}" for chromosome, start, end, label in places]
    table["strand"] = None
    if run.config.signal is not None:
        table["signal"] = mean_signal(_here(run.config.signal), table)
    return table.assign(split="train").astype({"start": "Int64", "end": "Int64"})


def _thin(windows: pd.DataFrame, config: Config, rng: np.random.Generator) -> pd.DataFrame:
    """Half the caps' rows: the other half are the matches, which need not be looked for in vain."""
    kept = []
    for split, rows in windows.groupby(_split_of(windows["chromosome"], config), sort=True):
        cap = config.max_probe_train if split == "train" else config.max_probe_test
        size = len(rows) if cap is None else min(len(rows), max(1, cap // 2))
        kept.append(rows.iloc[np.sort(rng.choice(len(rows), size=size, replace=False))])
    return pd.concat(kept).sort_index()


def _split_of(chromosomes: pd.Series, config: Config) -> pd.Series:
    splits = dict.fromkeys(config.validation_chromosomes, "validation")
    splits |= dict.fromkeys(config.test_chromosomes, "test")
    return chromosomes.map(lambda name: splits.get(name, "train"))


def _hold_out_test(task: Task, table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Rows on the test chromosomes become the test set of a task that comes without one."""
    split = _split_of(table["chromosome"], config)
    if not (split == "test").any() or not (split == "train").any():
        named = ", ".join(config.test_chromosomes)
        raise MintsError(
            f"task {task.name} has no test set: give one (--test), or coordinates on test and other chromosomes"
            f" (--test-chromosomes, now {named})"
        )
    return table.assign(split=table["split"].mask(split == "test", "test"))


def _cap(table: pd.DataFrame, config: Config, rng: np.random.Generator) -> pd.DataFrame:
    """At most the configured number of rows per split, drawn at random in equal shares from both classes."""
    kept = []
    for split, cap in zip(SPLITS, (config.max_probe_train, config.max_probe_test, config.max_probe_test), strict=True):
        rows = table[table["split"] == split]
        if cap is not None and len(rows) > cap:
            order = pd.Series(rng.permutation(len(rows)), index=rows.index)
            place_in_class = order.groupby(rows["label"]).rank(method="first")
            rows = rows.loc[place_in_class.sort_values(kind="stable").index[:cap]].sort_index()
        kept.append(rows)
    return pd.concat(kept)


def check_classes(name: str, table: pd.DataFrame) -> None:
    """Raise MintsError where a split lacks a class, since nothing could be fitted or measured there."""
    for split in SPLITS:
        labels = set(table.loc[table["split"] == split, "label"])
        if labels != {0, 1}:
            what = "no rows" if not labels else f"rows of label {labels.pop()} alone"
            raise MintsError(f"task {name} has {what} in its {split} set: check its tables, chromosomes and caps")


def summary_rows(name: str, table: pd.DataFrame) -> list[dict[str, object]]:
    """Numbers, lengths and GC content of each split and class."""
    rows: list[dict[str, object]] = []
    for (split, label), part in table.groupby(["split", "label"], sort=True):
        sequences = part["sequence"].tolist()
        gc = gc_content(sequences)
        rows.append(
            {
                "task": name,
                "split": split,
                "label": label,
                "sequences": len(part),
                "clusters": part["cluster"].nunique(),
                "mean_length": np.mean([len(sequence) for sequence in sequences]),
                "mean_gc": gc.mean(),
                "sd_gc": gc.std(),
            }
        )
    return rows


def _here(location: Location) -> Path:
    return fetch(location)
