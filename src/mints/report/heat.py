"""Heat maps: colours around the value of no effect, cells that were not measured, and the bar that explains both."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from numpy import ndarray

from mints.report.style import BLUE, FAINT, INK, QUIET, VERMILLION, Grid

AROUND = LinearSegmentedColormap.from_list(
    "around", [(0, VERMILLION), (0.25, "#EDB492"), (0.5, "#F8F8F8"), (0.75, "#7FB3D8"), (0.9, BLUE), (1, "#06263A")]
).with_extremes(bad=FAINT)
"""The upper end is by far the darkest colour, so that a print in grey keeps the two ends apart."""

MISSING = "not measured", QUIET, "x"
"""Label, colour and marker of what was not measured."""

DARK = 0.5
"""Luminance below which a number is written in white."""


def colours_around(values: Float[ndarray, "..."], centre: float, threshold: float | None = None) -> Normalize:
    """Scale that reaches equally far to both sides of the centre, past all values and the threshold.

    Where the centre is 1 the values are ratios and the scale is logarithmic; a ratio of 0 has no place on it.
    """
    held = np.append(values, [] if threshold is None else 1.1 * threshold)
    held = held[np.isfinite(held)]
    if centre == 1:
        reach = float(np.exp(np.abs(np.log(held[held > 0])).max(initial=np.log(1.1))))
        return LogNorm(1 / reach, reach)
    reach = float(np.abs(held - centre).max(initial=0)) or 1.0
    return Normalize(centre - reach, centre + reach)


def draw_cells(
    axis: Axes, columns: Float[ndarray, "column 2"], values: Float[ndarray, "row column"], norm: Normalize
) -> PatchCollection:
    """Cells in rows of height 1, row 0 on top, each column between its two ends; a cross where nothing was measured."""
    cells = [Rectangle((left, row - 0.5), right - left, 1) for row in range(len(values)) for left, right in columns]
    drawn = PatchCollection(cells, cmap=AROUND, norm=norm, edgecolor="white", linewidth=0.5)
    drawn.set_array(np.ma.masked_invalid(values.ravel()))
    axis.add_collection(drawn)
    rows, missing = np.nonzero(~np.isfinite(values))
    axis.plot(columns.mean(1)[missing], rows, "x", color=QUIET, markersize=4, markeredgewidth=0.9)
    axis.set(xlim=(columns.min(), columns.max()), ylim=(len(values) - 0.5, -0.5))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return drawn


def write_numbers(axis: Axes, values: Float[ndarray, "row column"], norm: Normalize) -> None:
    """The value in the middle of every cell of width 1, in the ink that stands out from the cell's colour."""
    for row, column in np.argwhere(np.isfinite(values)):
        luminance = np.dot(AROUND(norm(values[row, column]))[:3], [0.299, 0.587, 0.114])
        colour = "white" if luminance < DARK else INK
        axis.text(column, row, f"{values[row, column]:z.2f}", size=7, color=colour, ha="center", va="center")


def outline(axis: Axes, row: int, column: int) -> None:
    """A frame in a cell of width 1."""
    frame = Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, edgecolor=INK, linewidth=1.4)
    frame.set_path_effects([withStroke(linewidth=3, foreground="white")])  # to stand out from dark cells as well
    axis.add_patch(frame)


def colour_bar(grid: Grid, cells: PatchCollection, label: str, threshold: float | None = None) -> None:
    """One bar for all panels, with a line at the threshold."""
    bar = grid.figure.colorbar(cells, ax=grid.panels, pad=0.02, aspect=24, fraction=0.06, label=label)
    bar.outline.set_visible(False)
    if isinstance(cells.norm, LogNorm):
        mark_ratios(bar.ax.yaxis)
    if threshold is not None:
        bar.ax.axhline(threshold, color="white", linewidth=3.5)
        bar.ax.axhline(threshold, color=INK, linewidth=1.5)


def mark_ratios(axis: Axis) -> None:
    """Ticks at powers of two: equal steps for a ratio and its inverse."""
    axis.set_major_locator(LogLocator(base=2, numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def head_name(layer: float, head: float) -> str:
    """Short name of a head."""
    return f"L{layer:.0f}H{head:.0f}"


def mark_missing(axis: Axes, place: Float[ndarray, "estimate"]) -> None:
    """Crosses at the bottom of a panel, where estimates were not measured."""
    height = np.full(len(place), 0.03)
    axis.plot(place, height, "x", color=QUIET, markersize=4, transform=axis.get_xaxis_transform())
