"""Figure of the calibration: how strong a planted detector must be to be seen, and what is seen where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from matplotlib.typing import LineStyleType
from pandas import DataFrame

from mints.report.heat import MISSING, mark_missing
from mints.report.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    VERMILLION,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

ACCEPTED = 0.05
"""False-positive rate that a criterion may have."""


class Look(NamedTuple):
    """How a criterion is drawn; no two share a colour, a marker or a line."""

    colour: str
    marker: str
    line: LineStyleType


LOOKS = (
    Look(BLUE, "o", "-"),
    Look(ORANGE, "s", (0, (5, 1.5))),
    Look(GREEN, "^", (0, (5, 1.5, 1, 1.5))),
    Look(PURPLE, "D", (0, (1, 1.2))),
    Look(INK, "v", (0, (8, 2, 2, 2, 2, 2))),
    Look(VERMILLION, "X", (0, (2.5, 1.2))),
)


@styled
def detection_figure(
    detection: DataFrame, false_positives: DataFrame, *, power: float = 0.95, level: float = 0.95
) -> Figure:
    """Detection rate against planted strength, and false-positive rates under each null, by criterion.

    detection: columns criterion, strength, planted, detected, rate, low, high (Clopper-Pearson interval).
    false_positives: columns null, criterion, tests, positives, rate and upper (one-sided bound).
    Raises ValueError where there are more criteria than `LOOKS`.
    """
    title = f"Calibration: what is detected, and what is taken for a detector; {100 * level:g}% intervals and bounds"
    if detection.empty and false_positives.empty:
        return nothing_measured(title)
    names = list(dict.fromkeys([*detection["criterion"], *false_positives["criterion"]]))
    looks = dict(zip(names, LOOKS[: len(names)], strict=True))
    rows = len(names) * false_positives["null"].nunique()
    grid = panel_grid(title, 2, 4.4, max(0.17 * rows, 2.4) + 0.8, margin=0.4)
    rates, errors = grid.panels
    heading(rates, "Planted detectors", _planted(detection))
    heading(errors, "Nothing planted", "positives/tests; lines end at the upper bound" if rows else "not measured")
    if detection.empty:
        rates.set_axis_off()
    else:
        _draw_detection(rates, detection, looks, power)
    if false_positives.empty:
        errors.set_axis_off()
    else:
        _draw_errors(errors, false_positives, looks)
    marks = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=_label(detection, name, power))
        for name, look in looks.items()
    ]
    if detection["rate"].isna().any():
        marks.append(point_mark(*MISSING))
    marks.append(line_mark(f"{power:.0%} detected; {ACCEPTED:.0%} false positives", QUIET, "-"))
    legend_below(grid.figure, marks, columns=2)
    return grid.figure


def sensitivity(rows: DataFrame, power: float) -> float:
    """Smallest strength from which on one criterion detects at least the share `power`; NaN if there is none."""
    ordered = rows.sort_values("strength")
    lasting = ordered["rate"].ge(power)[::-1].cummin()[::-1]
    return float(ordered["strength"][lasting].min())


def _draw_detection(axis: Axes, detection: DataFrame, looks: Mapping[str, Look], power: float) -> None:
    """Strengths stand evenly spaced; each criterion is shifted by a few points, so that equal lines stay apart."""
    strengths = np.sort(detection["strength"].unique())
    axis.axhline(power, color=QUIET, linewidth=1)
    for index, (name, look) in enumerate(looks.items()):
        rows = detection[detection["criterion"] == name].sort_values("strength")
        place = np.searchsorted(strengths, rows["strength"])
        step = (index - (len(looks) - 1) / 2) / 72
        shifted = axis.transData + ScaledTranslation(5 * step, 1.6 * step, axis.figure.dpi_scale_trans)
        axis.vlines(place, rows["low"], rows["high"], color=look.colour, linewidth=1.2, transform=shifted)
        (line,) = axis.plot(place, rows["rate"], look.marker, color=look.colour, transform=shifted)
        line.set(linestyle=look.line, linewidth=1, markersize=4)
        mark_missing(axis, place[rows["rate"].isna()])
    axis.set_xticks(range(len(strengths)), [f"{strength:g}" for strength in strengths])
    axis.set(xlabel="planted strength (evenly spaced)", ylabel="detection rate", ylim=(-0.05, 1.05))
    axis.set_xlim(-0.4, len(strengths) - 0.6)
    axis.grid(axis="y")


def _draw_errors(axis: Axes, errors: DataFrame, looks: Mapping[str, Look]) -> None:
    """One block per null, the first on top, one row per criterion in it: the rate, a line to its bound, the counts."""
    nulls = list(errors["null"].unique())
    order = list(looks)
    axis.axvline(ACCEPTED, color=QUIET, linewidth=1)
    block, row = errors["null"].map(nulls.index), errors["criterion"].map(order.index)
    places = block + 0.9 * ((row + 0.5) / len(order) - 0.5)
    numbers = errors[["rate", "upper", "positives", "tests"]].to_numpy(dtype=float)
    for name, place, (rate, upper, positives, tests) in zip(errors["criterion"], places, numbers, strict=True):
        axis.hlines(place, rate, upper, color=looks[name].colour, linewidth=1.8)
        axis.plot(rate, place, looks[name].marker, color=looks[name].colour, markersize=4)
        counts = "n/a" if np.isnan(rate) else f"{positives:,.0f}/{tests:,.0f}"
        axis.text(1.01, place, counts, color=INK, size=7, va="center_baseline", transform=axis.get_yaxis_transform())
    for block_end in range(1, len(nulls)):
        axis.axhline(block_end - 0.5, color=FAINT, linewidth=0.8)
    axis.set_yticks(range(len(nulls)), [fill(null.replace("_", " "), 14) for null in nulls])
    axis.set_ylim(len(nulls) - 0.5, -0.5)
    axis.set_xlim(left=-0.02 * axis.get_xlim()[1])
    axis.set_xlabel("false-positive rate")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x")


def _planted(detection: DataFrame) -> str:
    """How many detectors each rate rests on."""
    if detection.empty:
        return "not measured"
    fewest, most = detection["planted"].min(), detection["planted"].max()
    count = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    return f"{count} planted per strength; equal lines are drawn side by side"


def _label(detection: DataFrame, name: str, power: float) -> str:
    """Name of a criterion and its sensitivity."""
    rows = detection[detection["criterion"] == name]
    if rows.empty:
        return name
    strength = sensitivity(rows, power)
    return f"{name}: {power:.0%} not reached" if np.isnan(strength) else f"{name}: {power:.0%} from {strength:g}"
