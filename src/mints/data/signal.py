"""Genome-wide signal tracks (bigWig)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
from jaxtyping import Float
from numpy import ndarray

from mints.errors import MintsError


def mean_signal(path: Path, intervals: pd.DataFrame) -> Float[ndarray, "interval"]:
    """Mean of the track over each interval (columns chromosome, start, end); NaN where it has no data.

    Raises MintsError for a file that is no bigWig, and where the track has none of the intervals' chromosomes.
    """
    if not path.is_file():
        raise MintsError(f"{path} does not exist")
    try:
        track = pyBigWig.open(str(path))
    except RuntimeError:
        track = None
    if track is None or not track.isBigWig():
        raise MintsError(f"{path} is not a bigWig file")
    with track:
        lengths = track.chroms()
        named = list(dict.fromkeys(intervals["chromosome"]))
        if named and not lengths.keys() & set(named):
            raise MintsError(f"{path} has no chromosome {named[0]}: it has {next(iter(lengths))} and others")
        places = zip(intervals["chromosome"], intervals["start"], intervals["end"], strict=True)
        means = [_mean(track, name, int(start), int(end), lengths.get(name, 0)) for name, start, end in places]
    return np.array(means, dtype=float)


def _mean(track: pyBigWig.pyBigWig, chromosome: str, start: int, end: int, length: int) -> float:
    end = min(end, length)
    if start >= end:
        return float("nan")
    mean = track.stats(chromosome, start, end, type="mean", exact=True)[0]
    return float("nan") if mean is None else float(mean)
