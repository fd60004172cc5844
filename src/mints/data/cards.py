"""What a task's table holds: sizes, lengths, composition, chromosomes, and rows that are each other's twins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.data.composition import gc_content
from mints.data.intervals import count_overlaps
from mints.data.sequences import reverse_complement
from mints.data.splits import SPLITS

QUANTILES = {"minimum": 0.0, "5%": 0.05, "25%": 0.25, "median": 0.5, "75%": 0.75, "95%": 0.95, "maximum": 1.0}


def describe_splits(table: pd.DataFrame) -> dict[str, Any]:
    """For every split its classes and chromosomes.

    table: columns sequence, label, split, cluster, chromosome; signal where there is one.
    """
    return {
        split: {
            "sequences": len(rows),
            "clusters": int(rows["cluster"].nunique()),
            "classes": {str(label): describe_class(part) for label, part in rows.groupby("label", sort=True)},
            "chromosomes": _by_chromosome(rows["chromosome"]),
        }
        for split in SPLITS
        if len(rows := table[table["split"] == split])
    }


def describe_class(rows: pd.DataFrame) -> dict[str, Any]:
    """Numbers of one class: quantiles of lengths, GC content and signal, and the share of unknown bases."""
    lengths = rows["sequence"].str.len().to_numpy(float)
    described = {
        "sequences": len(rows),
        "length": quantiles(lengths),
        "gc": quantiles(gc_content(rows["sequence"].tolist())),
        "n_share": float(rows["sequence"].str.count("N").sum() / lengths.sum()),
    }
    if "signal" in rows:
        signal = rows["signal"].to_numpy(float)
        described |= {"signal": quantiles(signal), "without_signal": int(np.isnan(signal).sum())}
    return described


def quantiles(values: Float[ndarray, "value"]) -> dict[str, float] | None:
    """Linear quantiles of the values that there are; None where there is none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    return dict(zip(QUANTILES, np.quantile(known, list(QUANTILES.values())).tolist(), strict=True))


def describe_twins(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """How many rows of a split have a twin in the same split (`train`), or in another (`train, test`), by its kind.

    same_sequence; opposite_strand: the twin is the reverse complement; overlapping: the two share genomic bases.
    """
    parts = {split: table[table["split"] == split] for split in SPLITS}
    opposite = {split: [reverse_complement(sequence) for sequence in rows["sequence"]] for split, rows in parts.items()}
    found = {}
    for first, second in (*((split, split) for split in SPLITS), *combinations(SPLITS, 2)):
        rows, others = parts[first], parts[second]
        own = rows["sequence"].tolist() if first == second else [""] * len(rows)
        there = Counter(others["sequence"])
        found[first if first == second else f"{first}, {second}"] = {
            "same_sequence": _with_twin(rows["sequence"].tolist(), there, own),
            "opposite_strand": _with_twin(opposite[first], there, own),
            "overlapping": _with_overlap(rows, others, itself=first == second),
        }
    return found


def _with_twin(sought: Sequence[str], there: Counter[str], own: Sequence[str]) -> int:
    """Rows whose sought sequence is there; own: the row's own sequence where it is among those, which is no twin."""
    return sum(there[sequence] > (sequence == mine) for sequence, mine in zip(sought, own, strict=True))


def _with_overlap(rows: pd.DataFrame, others: pd.DataFrame, *, itself: bool) -> int:
    """Rows that share genomic bases with another one. itself: every row is among the others as well."""
    placed = rows[rows["start"].notna()]
    found = 0
    for chromosome, part in placed.groupby("chromosome", sort=True):
        there = others[(others["chromosome"] == chromosome) & others["start"].notna()]
        count = count_overlaps(part["start"].to_numpy(int), part["end"].to_numpy(int), there)
        found += int((count > itself).sum())
    return found


def _by_chromosome(chromosomes: pd.Series) -> dict[str, int]:
    """Rows of each chromosome, chr2 before chr10; rows without coordinates under `none`."""
    counts = chromosomes.fillna("none").value_counts()
    return {str(name): int(counts[name]) for name in sorted(counts.index, key=lambda name: (len(name), name))}
