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

    Raises MintsError for a file that is no bigWig.
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
        means = [
            _mean(track, row.chromosome, int(row.start), int(row.end), lengths.get(row.chromosome, 0))
            for row in intervals.itertuples()
        ]
    return np.array(means, dtype=float)


def _mean(track: pyBigWig.pyBigWig, chromosome: str, start: int, end: int, length: int) -> float:
    end = min(end, length)
    if start >= end:
        return float("nan")
    mean = track.stats(chromosome, start, end, type="mean", exact=True)[0]
    return float("nan") if mean is None else float(mean)
