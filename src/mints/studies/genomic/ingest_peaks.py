"""Windows on a task's peaks and their GC-matched windows elsewhere, as one labelled table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mints.config import Task
from mints.data.genome import Genome
from mints.data.intervals import check_against, read_blacklist, read_intervals
from mints.data.peaks import matched_negatives, peak_windows
from mints.data.sequences import file_sha256
from mints.data.signal import mean_signal
from mints.data.splits import split_of
from mints.errors import MintsError, UsageError
from mints.locations import here
from mints.pipeline.run import Run
from mints.studies.genomic.origin import Gathered, source


def gather_peaks(run: Run, task: Task, rng: np.random.Generator) -> Gathered:
    """Rows of both classes, all of them training rows as yet."""
    config = run.config
    if task.peaks is None or config.genome is None:
        raise UsageError(f"task {task.name} has peaks and needs a genome: give --genome")
    genome = Genome.open(here(config.genome), track=run.track)
    path = here(task.peaks)
    peaks = read_intervals(path)
    check_against(peaks, genome, path)
    blacklist = None if config.blacklist is None else read_blacklist(here(config.blacklist), genome)
    windows = peak_windows(peaks, genome, task.window, blacklist)
    if windows.table.empty:
        raise MintsError(f"no peak of {path} gives a window of {task.window} bases: {_reasons(windows.dropped)}")
    positives = _thin(windows.table, config, rng)
    negatives = matched_negatives(positives, genome, peaks, rng, blacklist)
    without_match = len(positives) - len(negatives.table)
    if without_match:
        run.warn(f"{without_match} peaks of task {task.name} have no GC-matched window")
    counts = {
        "read": len(peaks),
        "used": len(positives),
        "not_used": windows.dropped | {"cap": len(windows.table) - len(positives)},
        "candidates_for_matches": negatives.candidates,
        "without_match": without_match,
    }
    run.fact(f"{task.name} peaks", counts)
    table = pd.concat([positives.assign(label=1), negatives.table.assign(label=0)], ignore_index=True)
    places = zip(table["chromosome"], table["start"], table["end"], table["label"], strict=True)
    table["name"] = [f"{chromosome}:{start}-{end}|{label}" for chromosome, start, end, label in places]
    table["strand"] = None
    if config.signal is not None:
        table["signal"] = mean_signal(here(config.signal), table)
    given = {"peaks": task.peaks, "blacklist": config.blacklist, "signal": config.signal}
    files = {use: location for use, location in given.items() if location is not None}
    sources = [source(use, at, here(at), file_sha256(here(at))) for use, at in files.items()]
    origin = {
        "sources": [*sources, source("genome", config.genome, genome.path, genome.sha256)],
        "letters_replaced_in_the_genome": dict(sorted(genome.counts.replaced.items())),
        "peaks": counts,
    }
    return Gathered(table.assign(split="train").astype({"start": "Int64", "end": "Int64"}), {}, origin)


def _reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in dropped.items() if count)


def _thin(windows: pd.DataFrame, config: Any, rng: np.random.Generator) -> pd.DataFrame:
    """Half the caps' rows: the other half are the matches, which need not be looked for in vain."""
    kept = []
    splits = split_of(windows["chromosome"], config.validation_chromosomes, config.test_chromosomes)
    for split, rows in windows.groupby(splits, sort=True):
        cap = config.max_probe_train if split == "train" else config.max_probe_test
        size = len(rows) if cap is None else min(len(rows), max(1, cap // 2))
        kept.append(rows.iloc[np.sort(rng.choice(len(rows), size=size, replace=False))])
    return pd.concat(kept).sort_index()
