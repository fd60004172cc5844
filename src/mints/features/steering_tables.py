"""Dose–response of steering with its nulls, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from mints.analysis.bootstrap import Resamples, interval
from mints.analysis.multiplicity import benjamini_hochberg
from mints.features.steering import KINDS, MEASURES, Arm, Steering
from mints.features.steering_sites import POSITIONS

NATURAL = 1.0
"""Doses up to the latent's own 99th percentile; the slope is over these alone."""

JUDGED = ("target_log_odds", "substitution_log_odds")
"""Measures that a latent is expected to raise, and that are tested against the nulls."""

TESTED = ("hidden", "add")
"""Position and kind that are held against the nulls."""

NULL_SHARE = 0.95
"""Share of a null's draws that its band holds."""

NULLS = ("directions", "latents")
"""Random directions, and decoder rows of latents that fire as often; both of the same length in the model."""


def planned_arms(doses: Sequence[float], draws: int, matched: int) -> list[Arm]:
    """The latent's own direction everywhere and by every kind; its nulls where amounts are added at the hidden token.

    A dose of 0 that is added is the run without steering, whatever the direction, and is not repeated for the nulls. A
    clamp differs from it only where the latent was active already; at 0 it is an ablation.
    """
    own = [Arm(0, position, kind, dose) for position in POSITIONS for kind in KINDS for dose in doses]
    null = [Arm(direction, *TESTED, dose) for direction in range(1, 1 + draws + matched) for dose in doses if dose != 0]
    return own + null


class Curves(NamedTuple):
    """Dose–response of one kind at one position."""

    own: Float[ndarray, "dose site measure"]
    nulls: dict[str, Float[ndarray, "draw dose site measure"]]
    """By the names of `NULLS`; empty except where `TESTED`."""


def curves(
    steering: Steering, arms: Sequence[Arm], doses: Sequence[float], draws: int, position: str, kind: str
) -> Curves:
    """The changes of one kind at one position, dose by dose."""
    place = {arm: row for row, arm in enumerate(arms)}
    directions = sorted({arm.direction for arm in arms if (arm.position, arm.kind) == (position, kind)})
    silent = np.zeros_like(steering.change[0])

    def of(direction: int) -> Float[ndarray, "dose site measure"]:
        rows = [place.get(Arm(direction, position, kind, dose)) for dose in doses]
        return np.stack([silent if row is None else steering.change[row] for row in rows])

    found = {"directions": [d for d in directions if 1 <= d <= draws], "latents": [d for d in directions if d > draws]}
    return Curves(of(0), {name: np.stack([of(d) for d in members]) for name, members in found.items() if members})


def mean_over_sites(
    values: Float[ndarray, "... site"], weights: Int[ndarray, "resample site"]
) -> Float[ndarray, "... resample"]:
    """Weighted means; sites where a value is undefined take no part."""
    defined = ~np.isnan(values)
    sums = np.where(defined, values, 0.0) @ weights.T.astype(float)
    counts = defined.astype(float) @ weights.T.astype(float)
    means: Float[ndarray, "... resample"] = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def area_weights(doses: Sequence[float]) -> Float[ndarray, "dose"]:
    """Of the mean height of a dose–response curve, by the trapezoid rule over all doses."""
    steps = np.diff(doses)
    weights = (np.append(steps, 0) + np.append(0, steps)) / 2
    total: Float[ndarray, "dose"] = weights / weights.sum()
    return total


def slope_weights(doses: Sequence[float]) -> Float[ndarray, "dose"]:
    """Of the least-squares slope over the natural doses; NaN where there are fewer than two."""
    x = np.array(doses)
    natural = x <= NATURAL
    if natural.sum() < 2:
        return np.full(len(x), np.nan)
    centred = np.where(natural, x - x[natural].mean(), 0.0)
    weights: Float[ndarray, "dose"] = centred / (centred**2).sum()
    return weights


def dose_rows(found: Curves, doses: Sequence[float], judge: Resamples) -> pd.DataFrame:
    """One row per dose and measure: mean effect over sites with its interval, and the band of the nulls' means."""
    ones = np.ones((1, judge.weights.shape[1]), dtype=int)
    rows = []
    for at, dose in enumerate(doses):
        for m, measure in enumerate(MEASURES):
            effect = found.own[at, :, m]
            low, high = interval(mean_over_sites(effect, judge.weights), judge.level)
            row = {"dose": dose, "measure": measure, "effect": mean_over_sites(effect, ones)[0]}
            row |= {"low": float(low), "high": float(high), "sites": int((~np.isnan(effect)).sum())}
            for name in NULLS:
                drawn = found.nulls[name][:, at, :, m] if name in found.nulls else np.full((1, ones.size), np.nan)
                means = mean_over_sites(drawn, ones)[:, 0]
                ends = (float(end) for end in interval(means, NULL_SHARE))
                row |= dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
                row[f"{name}_mean"] = float(means.mean())
            rows.append(row)
    return pd.DataFrame(rows)


def summary_rows(found: Curves, doses: Sequence[float], judge: Resamples) -> pd.DataFrame:
    """One row per measure: area and slope of the dose–response with intervals and p against each null.

    p: share of the null's draws that reach the latent's own figure, the latent counted among them (Phipson & Smyth
    2010); one-sided, since the latent is expected to raise the measure.
    """
    ones = np.ones((1, judge.weights.shape[1]), dtype=int)
    rows = []
    for m, measure in enumerate(MEASURES):
        row: dict[str, object] = {"measure": measure}
        for figure, weights in (("area", area_weights(doses)), ("slope", slope_weights(doses))):
            used = weights != 0  # what is not natural takes no part, also where it is undefined
            own = np.tensordot(weights[used], found.own[..., m][used], 1)
            low, high = interval(mean_over_sites(own, judge.weights), judge.level)
            value = mean_over_sites(own, ones)[0]
            row |= {figure: value, f"{figure}_low": float(low), f"{figure}_high": float(high)}
            for name, null in found.nulls.items():
                drawn = np.tensordot(null[..., m][:, used], weights[used], (1, 0))
                means = mean_over_sites(drawn, ones)[:, 0]
                row[f"{figure}_{name}"] = float(np.mean(means))
                if measure in JUDGED:
                    p = (1 + (means >= value).sum()) / (1 + len(means))
                    row[f"p_{figure}_{name}"] = float(p) if np.isfinite(value) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def beyond_rows(hidden: Curves, elsewhere: Curves, doses: Sequence[float], judge: Resamples) -> pd.DataFrame:
    """One row per measure: area at the hidden token less area elsewhere, paired over sites, with its interval."""
    ones = np.ones((1, judge.weights.shape[1]), dtype=int)
    difference = np.tensordot(area_weights(doses), hidden.own - elsewhere.own, 1)
    rows = []
    for m, measure in enumerate(MEASURES):
        low, high = interval(mean_over_sites(difference[:, m], judge.weights), judge.level)
        value = mean_over_sites(difference[:, m], ones)[0]
        rows.append({"measure": measure, "beyond": value, "beyond_low": float(low), "beyond_high": float(high)})
    return pd.DataFrame(rows)


def with_q(summary: pd.DataFrame) -> pd.DataFrame:
    """The table with Benjamini–Hochberg q beside every p, each column and measure a family of its own."""
    table = summary.copy()
    for place, column in reversed([*enumerate(map(str, summary))]):
        if not column.startswith("p_"):
            continue
        p = table[column].to_numpy(dtype=float)
        q = np.full(len(table), np.nan)
        for measure in JUDGED:
            tested = (table["measure"] == measure).to_numpy() & ~np.isnan(p)
            q[tested] = benjamini_hochberg(p[tested])
        table.insert(place + 1, f"q_{column[2:]}", q)
    return table


def dose_table(
    steering: Steering, arms: Sequence[Arm], doses: Sequence[float], draws: int, judge: Resamples
) -> pd.DataFrame:
    """`dose_rows` of every position and kind."""
    tables = []
    for position, kind in product(POSITIONS, KINDS):
        table = dose_rows(curves(steering, arms, doses, draws, position, kind), doses, judge)
        table.insert(0, "position", position)
        table.insert(1, "kind", kind)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def summary_table(
    steering: Steering, arms: Sequence[Arm], doses: Sequence[float], draws: int, judge: Resamples
) -> pd.DataFrame:
    """`summary_rows` of every position and kind; away from the hidden token, what the hidden token has beyond it."""
    tables = []
    for position, kind in product(POSITIONS, KINDS):
        found = curves(steering, arms, doses, draws, position, kind)
        table = summary_rows(found, doses, judge)
        if position != POSITIONS[0]:
            hidden = curves(steering, arms, doses, draws, POSITIONS[0], kind)
            table = table.merge(beyond_rows(hidden, found, doses, judge), on="measure")
        table.insert(0, "position", position)
        table.insert(1, "kind", kind)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
