"""Step: every task becomes one checked table of sequences with splits and clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mints.config import Config, Task
from mints.data.cards import describe_splits, describe_twins
from mints.data.composition import gc_content
from mints.data.sequences import ReadCounts, file_sha256
from mints.data.splits import SPLITS, assign_clusters, carve_validation, drop_leaked, split_of
from mints.data.tasks import read_task_table
from mints.errors import MintsError
from mints.locations import here
from mints.pipeline.run import Run
from mints.studies.genomic.ingest_peaks import gather_peaks
from mints.studies.genomic.origin import Gathered, source


def run_ingest(run: Run) -> None:
    """Read the task tables and peaks, check them, split them by chromosome, and say what they hold and lack."""
    rows: list[dict[str, object]] = []
    for task in run.track(run.config.tasks, description="reading tasks", unit="tasks"):
        table, card = read_task(run, task)
        check_classes(task.name, table)
        run.save(f"tasks/{task.name}.parquet", table)
        run.save(f"cards/{task.name}.json", card)
        rows += summary_rows(task.name, table)
    run.save("tables/tasks.csv", pd.DataFrame(rows))


def read_task(run: Run, task: Task) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The task's rows over all splits, leaks dropped and caps applied, and its data card."""
    rng = run.rng(task.name)
    table, left_out, origin = gather_peaks(run, task, rng) if task.peaks is not None else _gather_tables(run, task)
    if not (table["split"] == "test").any():
        table = _hold_out_test(task, table, run.config)
    whole = assign_clusters(table)
    if not (whole["split"] == "validation").any():
        whole = carve_validation(whole, run.config.validation_chromosomes, run.config.validation_share, rng)
    clean = drop_leaked(whole)
    leaked = len(whole) - len(clean)
    run.fact(task.name, {"rows": len(clean), "rows_dropped_because_a_twin_is_in_the_test_set": leaked})
    used = _cap(clean, run.config, rng).reset_index(drop=True)
    card = {
        "task": task.name,
        **origin,
        "left_out": left_out | {"twin_in_a_held_out_split": leaked, "cap": len(clean) - len(used)},
        "splits": describe_splits(used),
        "twins": {"as_read": describe_twins(whole), "as_used": describe_twins(used)},
    }
    return used, card


def _gather_tables(run: Run, task: Task) -> Gathered:
    """Rows of the task's tables, with the split that each table stands for."""
    given = {"train": task.train, "validation": task.validation, "test": task.test}
    counts = ReadCounts()
    parts, sources = [], []
    for split, location in given.items():
        if location is not None:
            path = here(location)
            rows = read_task_table(path, task.positive_labels, task.negative_labels, counts, task.name)
            parts.append(rows.assign(split=split))
            sources.append(source(split, location, path, file_sha256(path)))
    replaced = dict(sorted(counts.replaced.items()))
    if counts.other_labels:
        run.fact(f"{task.name} rows left out by label", counts.other_labels)
    if replaced:
        run.fact(f"{task.name} letters replaced", replaced)
    left_out = {"of_another_task": counts.other_tasks, "of_another_label": counts.other_labels}
    return Gathered(pd.concat(parts, ignore_index=True), left_out, {"sources": sources, "letters_replaced": replaced})


def _hold_out_test(task: Task, table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Rows on the test chromosomes become the test set of a task that comes without one."""
    split = split_of(table["chromosome"], config.validation_chromosomes, config.test_chromosomes)
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
