"""Forest plots: one row per estimate, with its interval and its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray
from pandas import DataFrame

from mints.report.style import FAINT, INK, QUIET, SMALL, Grid


class Group(NamedTuple):
    """Rows of a forest plot that belong together."""

    label: str
    colour: str
    marker: str


class Estimates(NamedTuple):
    """Values and interval ends of the rows of a forest plot."""

    value: Float[ndarray, "row"]
    low: Float[ndarray, "row"]
    high: Float[ndarray, "row"]

    @classmethod
    def of(cls, rows: DataFrame, *columns: str) -> Estimates:
        """From the columns that hold value, low and high."""
        return cls(*(rows[column].to_numpy(dtype=float) for column in columns))


def forest(axis: Axes, labels: Sequence[str], groups: Sequence[Group], estimates: Estimates) -> None:
    """One row per estimate, the first on top: marker, interval, and the number at the right edge."""
    for row, (group, value, low, high) in enumerate(zip(groups, *estimates, strict=True)):
        measured = not np.isnan(value)
        axis.hlines(row, low, high, color=group.colour, linewidth=1.8)
        axis.plot(value, row, group.marker, color=group.colour)
        axis.text(
            1.01,
            row,
            f"{value:.3f}" if measured else "n/a",
            color=INK if measured else QUIET,
            size=SMALL,
            verticalalignment="center_baseline",
            transform=axis.get_yaxis_transform(),
        )
    for row in range(1, len(groups)):
        if groups[row] != groups[row - 1]:
            axis.axhline(row - 0.5, color=FAINT, linewidth=0.8)
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x")


def share_row_labels(grid: Grid, x_label: str) -> None:
    """Row names at the left edge alone, the x label at the bottom alone."""
    for axis in grid.panels:
        if axis not in grid.left():
            axis.set_yticklabels([])
    for axis in grid.bottom():
        axis.set_xlabel(x_label)
