"""Figure of how long a basecaller calls runs of a base, against how long they are."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from mints.report.heat import colours_around, draw_cells, outline, write_numbers
from mints.report.style import INK, heading, legend_below, nothing_measured, panel_grid, point_mark, styled

LONGEST = 9
"""Runs of so many bases and more share a row, and a column."""


@styled
def run_lengths_figure(table: DataFrame) -> Figure:
    """Share of the runs of each true length that were called with each length, one panel per base.

    table: columns base, length (of the truth), called and count.
    """
    title = "Runs of a base: called length by true length, share of the runs"
    known = table.dropna(subset="length")
    if known.empty:
        return nothing_measured(title)
    grid = panel_grid(title, 4, 4.0, 3.0)
    shares = {base: _shares(known[known["base"] == base]) for base in "ACGT"}
    norm = colours_around(np.array([1.0]), 0)
    for axis, (base, values) in zip(grid.panels, shares.items(), strict=True):
        heading(axis, f"runs of {base}", _detail(known[known["base"] == base]))
        columns = np.arange(values.shape[1])[:, None] + [-0.5, 0.5]
        draw_cells(axis, columns, values, norm)
        write_numbers(axis, np.where(values > 0, values, np.nan), norm)
        for length in range(1, LONGEST + 1):
            outline(axis, length - 1, length)
        axis.set_xticks(range(LONGEST + 1), [*map(str, range(LONGEST)), f"{LONGEST}+"])
        axis.set_yticks(range(LONGEST), [*map(str, range(1, LONGEST)), f"{LONGEST}+"])
    for axis in grid.left():
        axis.set_ylabel("true length (bases)")
    for axis in grid.bottom():
        axis.set_xlabel("called length (bases)")
    legend_below(grid.figure, [point_mark("called as long as it is", INK, "s", hollow=True)], columns=1)
    return grid.figure


def _shares(rows: DataFrame) -> np.ndarray:
    """Rows of true lengths 1, 2, … by called lengths 0, 1, …; NaN where no run has the length."""
    counts = np.zeros((LONGEST, LONGEST + 1))
    length = np.minimum(rows["length"].to_numpy(dtype=int), LONGEST) - 1
    called = np.minimum(rows["called"].to_numpy(dtype=int), LONGEST)
    np.add.at(counts, (length, called), rows["count"].to_numpy(dtype=float))
    total = counts.sum(1, keepdims=True)
    shares: np.ndarray = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    return shares


def _detail(rows: DataFrame) -> str:
    """How many runs, and how many of those of three bases and more were called right."""
    long = rows[rows["length"] >= 3]
    if long.empty:
        return f"{rows['count'].sum():,.0f} runs, none of 3 bases or more"
    right = long.loc[long["called"] == long["length"], "count"].sum() / long["count"].sum()
    return f"{rows['count'].sum():,.0f} runs; of 3 bases and more {right:.0%} right"
