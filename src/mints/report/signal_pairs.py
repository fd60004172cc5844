"""Pairs of nanopore signal: the current of both sides around the place where they differ."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy import ndarray

from mints.report.style import (
    BLUE,
    FAINT,
    QUIET,
    VERMILLION,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    styled,
)

GROUPS = {"homopolymer": "run of {length} {base}", "other": "{length} bases without a run"}
CORRUPTIONS = {
    "noise": "noise of {strength:g} deviations",
    "dampening": "dampened by {strength:.0%}",
    "repeat_more": "simulated with a repeat more",
    "repeat_fewer": "simulated with a repeat fewer",
}
SHOWN_LENGTH = 5
"""Run length of the pairs that are shown, or the nearest there is."""

MARGIN = 60
"""Samples shown on either side of the place."""

TITLE = "Signal pairs: one of each kind"


@styled
def signal_pairs_figure(
    table: pd.DataFrame, arrays: Mapping[str, ndarray], sample_rates: Int[ndarray, "pair"]
) -> Figure:
    """One pair of each corruption (rows) and group (columns): current of both sides, borders and letters of the bases.

    table, arrays: of all pairs, as saved. sample_rates: samples per second of each pair.
    """
    if table.empty:
        return nothing_measured(TITLE)
    corruptions = [name for name in CORRUPTIONS if (table["corruption"] == name).any()]
    kinds = [(corruption, group) for corruption in corruptions for group in GROUPS]
    grid = panel_grid(TITLE, len(kinds), 4.8, 1.9, columns=2)
    for panel, (corruption, group) in zip(grid.panels, kinds, strict=True):
        rows = table[(table["corruption"] == corruption) & (table["group"] == group)]
        if rows.empty:
            heading(panel, f"{GROUPS[group].format(length='3 to 8', base='bases')}: {corruption}", "no pair")
            continue
        # Bases in turn, so that not all pairs shown are of the first.
        rows = rows[rows["base"] == rows["base"].unique()[corruptions.index(corruption) % rows["base"].nunique()]]
        row = rows.loc[(rows["run_length"] - SHOWN_LENGTH).abs().idxmin()]
        own = {name: array[row["pair"]] for name, array in arrays.items()}
        _draw_pair(panel, row, own, int(sample_rates[row["pair"]]))
    for panel in grid.left():
        panel.set_ylabel("current (pA)")
    for panel in grid.bottom():
        panel.set_xlabel("time from the place's beginning (ms)")
    handles = [
        line_mark("clean", BLUE, "-"),
        line_mark("corrupted", VERMILLION, "-"),
        line_mark("border of two bases (clean)", QUIET, ":"),
        Line2D([], [], color=FAINT, linewidth=8, label="where the two sides may differ"),
    ]
    legend_below(grid.figure, handles, len(handles))
    return grid.figure


def _draw_pair(panel: Axes, row: pd.Series, arrays: Mapping[str, ndarray], sample_rate: int) -> None:
    first, last = max(0, row["start"] - MARGIN), min(len(arrays["clean"]), row["end"] + MARGIN)
    shown = np.arange(first, last)
    time = 1000 * (np.arange(len(arrays["clean"]) + 1) - row["start"]) / sample_rate
    clean, corrupted = (arrays[name] * row["scale"] + row["shift"] for name in ("clean", "corrupted"))
    panel.axvspan(time[row["start"]], time[row["end"]], color=FAINT, alpha=0.5, linewidth=0)
    panel.plot(time[shown], corrupted[shown], color=VERMILLION, linewidth=1.1)
    panel.plot(time[shown], clean[shown], color=BLUE, linewidth=1.1)
    borders = arrays["clean_boundaries"]
    for border in borders[(borders >= first) & (borders <= last)]:
        panel.axvline(time[border], color=QUIET, linewidth=0.6, linestyle=":")
    low, high = panel.get_ylim()
    height = high - low
    _write_bases(panel, row["clean_sequence"], borders, time, (first, last), high + 0.02 * height, BLUE)
    if isinstance(row["corrupted_sequence"], str):
        place = high + 0.16 * height
        _write_bases(
            panel, row["corrupted_sequence"], arrays["corrupted_boundaries"], time, (first, last), place, VERMILLION
        )
    panel.set(xlim=(time[first], time[last]), ylim=(low, high + 0.32 * height))
    what = GROUPS[row["group"]].format(length=row["run_length"], base=row["base"])
    heading(panel, f"{what}: {CORRUPTIONS[row['corruption']].format(strength=row['strength'])}")


def _write_bases(
    panel: Axes,
    sequence: str,
    borders: Int[ndarray, "border"],
    time: ndarray,
    shown: tuple[int, int],
    height: float,
    colour: str,
) -> None:
    """Every letter above the middle of its base's dwell, as far as that is shown."""
    for letter, begin, end in zip(sequence, borders[:-1], borders[1:], strict=False):
        middle = (begin + end) // 2
        if shown[0] <= middle < shown[1]:
            panel.text(time[middle], height, letter, color=colour, size=7, ha="center", va="bottom", clip_on=True)
