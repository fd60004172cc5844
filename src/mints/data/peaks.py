"""Windows on peaks, and windows like them away from every peak."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from mints.data.composition import gc_content
from mints.data.genome import Genome
from mints.data.intervals import count_overlaps
from mints.errors import MintsError

CALIPER = 0.02
"""Largest difference in GC content between a window and its match."""

CANDIDATES, LEAST_CANDIDATES = 12, 5_000
"""Candidates drawn in a round: per window of the chromosome, and at least. Windows that are still without a match after
some rounds are the hardest to match, so that the number does not fall with theirs."""

ROUNDS = 8


class PeakWindows(NamedTuple):
    """Windows of equal width on peaks."""

    table: pd.DataFrame
    """chromosome, start, end, sequence, signal."""

    dropped: dict[str, int]
    """Peaks that gave no window, by the first reason that holds."""


class Matches(NamedTuple):
    """Windows like those on peaks."""

    table: pd.DataFrame
    """chromosome, start, end, sequence."""

    candidates: dict[str, int]
    """How many places were drawn, and how many of them were left out, by the first reason that holds."""


def peak_windows(peaks: pd.DataFrame, genome: Genome, width: int, blacklist: pd.DataFrame | None = None) -> PeakWindows:
    """Windows centred on the summits (else on the middles) of peaks; of several equal ones the strongest is kept.

    Windows beyond a chromosome's end or with an N are dropped and counted, as are those that share a base with the
    blacklist, themselves or by their peak.
    """
    middle = (peaks["start"] + peaks["end"]) // 2
    centre = peaks["summit"].fillna(middle).astype("int64")
    table = pd.DataFrame({"chromosome": peaks["chromosome"], "start": centre - width // 2, "signal": peaks["signal"]})
    table["end"] = table["start"] + width
    inside = (table["start"] >= 0) & (table["end"] <= table["chromosome"].map(genome.lengths))
    listed = inside & (_on(table, blacklist) | _on(peaks, blacklist))
    kept = table[inside & ~listed].sort_values("signal", ascending=False, kind="stable")
    twins = kept.duplicated(["chromosome", "start"])
    kept = kept[~twins].sort_values(["chromosome", "start"])
    places = zip(kept["chromosome"], kept["start"], kept["end"], strict=True)
    kept["sequence"] = [genome.fetch(name, start, end) for name, start, end in places]
    whole = np.array(["N" not in sequence for sequence in kept["sequence"]], dtype=bool)
    dropped = {
        "beyond_the_chromosome": int((~inside).sum()),
        "on_the_blacklist": int(listed.sum()),
        "same_window_as_another": int(twins.sum()),
        "has_n": int((~whole).sum()),
    }
    return PeakWindows(kept[whole].reset_index(drop=True), dropped)


def matched_negatives(
    windows: pd.DataFrame,
    genome: Genome,
    peaks: pd.DataFrame,
    rng: np.random.Generator,
    blacklist: pd.DataFrame | None = None,
) -> Matches:
    """For every window one like it: same width and chromosome, no N, GC content within `CALIPER`.

    Matches lie away from all peaks, the blacklist and one another; a window that finds none in all rounds stays
    without. Raises MintsError where no window found a match.
    """
    avoided = {"on_a_peak": pd.concat([windows, peaks])}
    if blacklist is not None:
        avoided["on_the_blacklist"] = blacklist
    candidates: Counter[str] = Counter()
    matches = [
        _match_chromosome(rows, str(chromosome), genome, avoided, candidates, rng)
        for chromosome, rows in windows.groupby("chromosome", sort=True)
    ]
    table = pd.concat(matches, ignore_index=True)
    if table.empty:
        raise MintsError(f"no window of {genome.path} away from the peaks matches them in GC content within {CALIPER}")
    return Matches(table, dict(candidates))


def _match_chromosome(
    rows: pd.DataFrame,
    chromosome: str,
    genome: Genome,
    avoided: dict[str, pd.DataFrame],
    counts: Counter[str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Greedy matches in the order of the rows. avoided: intervals away from which they lie, by reason."""
    width = int(rows["end"].iloc[0] - rows["start"].iloc[0])
    avoided = {reason: table[table["chromosome"] == chromosome] for reason, table in avoided.items()}
    wanted = gc_content(rows["sequence"].tolist()).tolist()
    candidates = max(CANDIDATES * len(rows), LEAST_CANDIDATES)
    found: list[tuple[str, int, int, str]] = []
    taken: list[int] = []
    for _ in range(ROUNDS):
        starts = rng.integers(0, genome.lengths[chromosome] - width + 1, size=candidates)
        counts["drawn"] += candidates
        for reason, intervals in avoided.items():
            covered = count_overlaps(starts, starts + width, intervals) > 0
            counts[reason] += int(covered.sum())
            starts = starts[~covered]
        sequences = [genome.fetch(chromosome, start, start + width) for start in starts.tolist()]
        gc = gc_content(sequences)
        usable = np.array(["N" not in sequence for sequence in sequences], dtype=bool)
        counts["has_n"] += int((~usable).sum())
        still: list[float] = []
        for target in wanted:
            place = _closest(gc, usable, target)
            while place is not None and _is_near(taken, int(starts[place]), width):
                usable[place] = False
                place = _closest(gc, usable, target)
            if place is None:
                still.append(target)
                continue
            start = int(starts[place])
            usable[place] = False
            insort(taken, start)
            found.append((chromosome, start, start + width, sequences[place]))
        wanted = still
        if not wanted:
            break
    return pd.DataFrame(found, columns=["chromosome", "start", "end", "sequence"])


def _closest(gc: Float[ndarray, "candidate"], usable: Bool[ndarray, "candidate"], target: float) -> int | None:
    """The usable candidate nearest in GC content, if it lies within the caliper."""
    if not usable.any():
        return None
    distance = np.where(usable, np.abs(gc - target), np.inf)
    place = int(distance.argmin())
    return place if distance[place] <= CALIPER else None


def _is_near(taken: list[int], start: int, width: int) -> bool:
    """Whether the window at `start` shares a base with one of those taken (sorted starts, equal widths)."""
    after = bisect_left(taken, start)
    neighbours = taken[max(0, after - 1) : after + 1]
    return any(abs(neighbour - start) < width for neighbour in neighbours)


def _on(table: pd.DataFrame, intervals: pd.DataFrame | None) -> Bool[ndarray, "row"]:
    """Whether each row shares a base with any of the intervals."""
    found = np.zeros(len(table), dtype=bool)
    if intervals is None:
        return found
    for chromosome, rows in table.groupby("chromosome").indices.items():
        starts, ends = (table[column].to_numpy(int)[rows] for column in ("start", "end"))
        found[rows] = count_overlaps(starts, ends, intervals[intervals["chromosome"] == chromosome]) > 0
    return found
