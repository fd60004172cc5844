"""What a patch restores time step by time step, counted from the run's first time step."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.basecalling.sweep import GRANULARITIES, Swept
from mints.analysis.basecalling.tables import groups_of
from mints.analysis.bootstrap import Resamples, interval

BEFORE, AFTER = 24, 60
"""Time steps that are shown before and after the run's first one; multiples of the usual upsamplings."""

TO_RESTORE = "clean run"
"""Name of the curve that everything is restored against."""


def track_table(
    swept: Swept,
    run_start: Int[ndarray, "pair"],
    pairs: pd.DataFrame,
    judge: Resamples,
    samples_per_score: int,
    together: int,
) -> pd.DataFrame:
    """One row per group, component, layer and place in time: mean gain of the correct transition's log-odds.

    together: time steps that make one place, such as those that the upsampling makes of one position.

    The gain is that over the corrupted run, aligned by time stamp: of the clean run (`TO_RESTORE`, layer −1), and of
    the corrupted run with a whole component taken from the clean one at the run.
    """
    to_restore = (swept.clean_track - swept.corrupted_track)[:, None]
    patched = swept.tracks - swept.corrupted_track[:, None, None]
    n_layers = patched.shape[1]
    curves = np.concatenate([to_restore, *np.moveaxis(patched, 2, 0)], axis=1)
    names = [(TO_RESTORE, -1), *((name, layer) for name in GRANULARITIES for layer in range(n_layers))]
    steps = _aligned(curves, run_start)
    aligned = steps.reshape(*steps.shape[:2], -1, together).mean(-1) if together > 1 else steps
    offset = np.arange(-BEFORE, AFTER, together)
    tables = []
    for group, rows in groups_of(pairs).items():
        value, low, high = _means(aligned[rows], judge.weights[:, rows], judge.level)
        for curve, (name, layer) in enumerate(names):
            columns: dict[str, object] = {"group": group, "component": name, "layer": layer}
            columns |= {"step": offset, "sample": (offset + (together - 1) / 2) * samples_per_score}
            columns |= {"gain": value[curve], "low": low[curve], "high": high[curve]}
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _aligned(
    curves: Float[ndarray, "pair curve time"], start: Int[ndarray, "pair"]
) -> Float[ndarray, "pair curve step"]:
    """The same from `BEFORE` time steps before each pair's start on; NaN beyond the chunk."""
    time = start[:, None] + np.arange(-BEFORE, AFTER)
    inside = (time >= 0) & (time < curves.shape[2])
    taken = np.take_along_axis(curves, np.where(inside, time, 0)[:, None], axis=2)
    return np.where(inside[:, None], taken, np.nan)


def _means(
    values: Float[ndarray, "pair curve step"], weights: Int[ndarray, "resample pair"], level: float
) -> tuple[Float[ndarray, "curve step"], ...]:
    """Mean over pairs and its interval."""
    known = np.isfinite(values)
    whole = np.concatenate([np.ones((1, len(values))), weights])
    totals = (whole @ np.where(known, values, 0.0).reshape(len(values), -1)).reshape(-1, *values.shape[1:])
    counts = (whole @ known.reshape(len(values), -1)).reshape(totals.shape)
    mean = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return mean[0], *interval(mean[1:], level)
