"""Windows on peaks, and windows like them away from every peak."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from mints.data.composition import gc_content
from mints.data.genome import Genome
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
    """Peaks that gave no window, by reason."""


def peak_windows(peaks: pd.DataFrame, genome: Genome, width: int) -> PeakWindows:
    """Windows centred on the summits (else on the middles) of peaks; one of several equal ones is kept.

    Windows beyond a chromosome's end or with an N are dropped and counted.
    """
    middle = (peaks["start"] + peaks["end"]) // 2
    centre = peaks["summit"].fillna(middle).astype("int64")
    table = pd.DataFrame({"chromosome": peaks["chromosome"], "start": centre - width // 2, "signal": peaks["signal"]})
    table["end"] = table["start"] + width
    lengths = table["chromosome"].map(genome.lengths)
    inside = (table["start"] >= 0) & (table["end"] <= lengths)
    unique = ~table.duplicated(["chromosome", "start"])
    kept = table[inside & unique].copy()
    places = zip(kept["chromosome"], kept["start"], kept["end"], strict=True)
    kept["sequence"] = [genome.fetch(name, start, end) for name, start, end in places]
    whole = ~kept["sequence"].str.contains("N")
    dropped = {
        "beyond_the_chromosome": int((~inside).sum()),
        "same_window_as_another": int((inside & ~unique).sum()),
        "has_n": int((~whole).sum()),
    }
    return PeakWindows(kept[whole].sort_values(["chromosome", "start"]).reset_index(drop=True), dropped)


def matched_negatives(
    windows: pd.DataFrame, genome: Genome, peaks: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """For every window one like it: same width and chromosome, no N, GC content within `CALIPER`.

    Matches lie away from all peaks and from one another; a window that finds none in all rounds stays without.
    Returns chromosome, start, end, sequence. Raises MintsError where no window found a match.
    """
    matches: list[pd.DataFrame] = []
    for chromosome, rows in windows.groupby("chromosome", sort=True):
        name = str(chromosome)
        taken = _occupied(genome.lengths[name], [rows, peaks[peaks["chromosome"] == chromosome]])
        matches.append(_match_chromosome(rows, name, genome, taken, rng))
    table = pd.concat(matches, ignore_index=True)
    if table.empty:
        raise MintsError(f"no window of {genome.path} away from the peaks matches them in GC content within {CALIPER}")
    return table


def _match_chromosome(
    rows: pd.DataFrame, chromosome: str, genome: Genome, taken: Bool[ndarray, "base"], rng: np.random.Generator
) -> pd.DataFrame:
    width = int(rows["end"].iloc[0] - rows["start"].iloc[0])
    wanted = gc_content(rows["sequence"].tolist()).tolist()
    candidates = max(CANDIDATES * len(rows), LEAST_CANDIDATES)
    found: list[tuple[str, int, int, str]] = []
    for _ in range(ROUNDS):
        starts = rng.integers(0, genome.lengths[chromosome] - width + 1, size=candidates)
        starts = starts[~(taken[starts] | taken[starts + width - 1])]
        sequences = [genome.fetch(chromosome, int(start), int(start) + width) for start in starts]
        gc = gc_content(sequences)
        usable = np.array(["N" not in sequence for sequence in sequences], dtype=bool)
        still: list[float] = []
        for target in wanted:
            place = _closest(gc, usable, target)
            while place is not None and taken[starts[place] : starts[place] + width].any():
                usable[place] = False
                place = _closest(gc, usable, target)
            if place is None:
                still.append(target)
                continue
            start = int(starts[place])
            usable[place] = False
            taken[start : start + width] = True
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


def _occupied(length: int, tables: list[pd.DataFrame]) -> Bool[ndarray, "base"]:
    occupied = np.zeros(length, dtype=bool)
    for table in tables:
        for start, end in zip(table["start"].to_numpy(int), table["end"].to_numpy(int), strict=True):
            occupied[max(0, start) : end] = True
    return occupied
