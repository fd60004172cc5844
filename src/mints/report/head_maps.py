"""Figures of one value per head: colours on layers by heads, and alignment against the ceiling of its layer."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy import ndarray
from pandas import DataFrame, Series

from mints.report.heat import (
    MISSING,
    colour_bar,
    colours_around,
    draw_cells,
    head_name,
    mark_missing,
    outline,
    write_numbers,
)
from mints.report.style import (
    BLUE,
    FAINT,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    Grid,
    about,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

MOST_NUMBERS = 16
"""Layers and heads up to which the numbers are written into the cells."""

LETTER = 0.095
"""Inches of a letter of a figure's title."""


@styled
def head_map(
    table: DataFrame, value: str, *, title: str, label: str, centre: float, threshold: float | None = None
) -> Figure:
    """One value per head as colours on layers (the first on top) by heads.

    table: one row per head with columns layer, head, `value` and, if known, passes. Heads that pass are outlined; heads
    without a value are grey with a cross. centre: the value of no effect, from which the colours reach equally far to
    both sides; 1 stands for ratios and a logarithmic scale. threshold: the registered one, within the colours' range.
    """
    return _maps({"": table}, value, title, label, centre, threshold)


@styled
def head_maps_figure(
    panels: Mapping[str, DataFrame],
    value: str,
    *,
    title: str,
    label: str,
    centre: float,
    threshold: float | None = None,
) -> Figure:
    """Several tables of the same model side by side under their names, with one scale of colours; see `head_map`."""
    return _maps(panels, value, title, label, centre, threshold)


@styled
def alignment_ceiling_figure(table: DataFrame, threshold: float, *, question: str = "", level: float = 0.95) -> Figure:
    """Every head's alignment r with its interval, beside what a ridge regression on its layer's input reaches.

    table: one row per head with columns layer, head, r, r_low, r_high, ceiling, ceiling_low, ceiling_high, r_position
    (of scores by position alone) and null_r (largest |r| over permuted motifs).
    """
    title = about(question, f"QK alignment against the ceiling of the layer, {100 * level:g}% intervals")
    if table.empty:
        return nothing_measured(title)
    layers, heads = table["layer"].nunique(), int(table["head"].max()) + 1
    grid = panel_grid(title, 1, float(np.clip(0.035 * layers * heads, 6.6, 12)), 3.2)
    axis = grid.panels[0]
    heading(axis, "", _ceiling_detail(table, threshold))
    place = table["layer"] + (table["head"] - (heads - 1) / 2) * 0.76 / heads
    size = float(np.clip(40 / np.sqrt(len(table)), 2, 5))
    bands = table.drop_duplicates("layer")[["layer", "ceiling", "ceiling_low", "ceiling_high"]]
    for layer, ceiling, low, high in bands.to_numpy(dtype=float):
        axis.fill_between([layer - 0.44, layer + 0.44], low, high, color=ORANGE, alpha=0.35, linewidth=0)
        axis.hlines(ceiling, layer - 0.44, layer + 0.44, color=ORANGE, linewidth=1.6)
    axis.vlines(place, -table["null_r"], table["null_r"], color=FAINT, linewidth=1.1 * size)
    axis.plot(place, table["r_position"], "_", color=PURPLE, markersize=1.5 * size, markeredgewidth=1.2)
    axis.vlines(place, table["r_low"], table["r_high"], color=BLUE, linewidth=0.3 * size)
    axis.plot(place, table["r"], "o", color=BLUE, markersize=size)
    mark_missing(axis, place[table["r"].isna()].to_numpy())
    axis.axhline(threshold, color=INK, linestyle="--", linewidth=1)
    axis.axhline(0, color=QUIET, linewidth=0.8, zorder=0)
    axis.set(xlabel="layer (heads side by side)", ylabel="r of key score and motif score")
    axis.set_xlim(table["layer"].min() - 0.6, table["layer"].max() + 0.6)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16, min_n_ticks=1))
    axis.grid(axis="y")
    marks = [
        point_mark("head", BLUE, "o"),
        point_mark("position alone", PURPLE, "_"),
        Line2D([], [], color=FAINT, linewidth=5, label="up to the largest |r| of permuted motifs"),
        Line2D([], [], color=ORANGE, linewidth=2, label="ceiling: ridge on the layer's input, held out"),
        line_mark(f"registered {threshold:g}", INK, "--"),
    ]
    if table["r"].isna().any():
        marks.append(point_mark(*MISSING))
    legend_below(grid.figure, marks, columns=3)
    return grid.figure


def _maps(
    panels: Mapping[str, DataFrame], value: str, title: str, label: str, centre: float, threshold: float | None
) -> Figure:
    heads = np.concatenate([table[["layer", "head"]] for table in panels.values()]) if panels else np.empty((0, 2))
    if not len(heads):
        return nothing_measured(title)
    rows, columns = (int(last) + 1 for last in heads.max(0))
    grids = [_layers_by_heads(table, value, rows, columns) for table in panels.values()]
    norm = colours_around(np.stack(grids), centre, threshold)
    grid = _map_grid(title, len(panels), rows, columns)
    for (name, table), values, axis in zip(panels.items(), grids, grid.panels, strict=True):
        heading(axis, name, _map_detail(table, value, threshold))
        cells = draw_cells(axis, np.arange(columns)[:, None] + [-0.5, 0.5], values, norm)
        if max(rows, columns) <= MOST_NUMBERS:
            write_numbers(axis, values, norm)
        for layer, head in table.loc[_passing(table), ["layer", "head"]].to_numpy():
            outline(axis, layer, head)
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_locator(MaxNLocator(integer=True, nbins=MOST_NUMBERS, min_n_ticks=1))
    for axis in grid.left():
        axis.set_ylabel("layer")
    for axis in grid.bottom():
        axis.set_xlabel("head")
    colour_bar(grid, cells, label, threshold)
    marks = [] if threshold is None else [line_mark(f"registered {threshold:g}", INK, "-")]
    if any(_passing(table).any() for table in panels.values()):
        marks.append(point_mark("head that passes", INK, "s", hollow=True))
    if not np.isfinite(grids).all():
        marks.append(point_mark(*MISSING))
    legend_below(grid.figure, marks, columns=3)
    return grid.figure


def _layers_by_heads(table: DataFrame, value: str, layers: int, heads: int) -> Float[ndarray, "layer head"]:
    values = table.pivot(index="layer", columns="head", values=value)
    return values.reindex(index=range(layers), columns=range(heads)).to_numpy(dtype=float)


def _map_grid(title: str, panels: int, layers: int, heads: int) -> Grid:
    """Panels whose cells hold a number where numbers are written."""
    cell = (0.37, 0.25) if max(layers, heads) <= MOST_NUMBERS else (0.2, 0.15)
    width = max(heads * cell[0] + 0.3, 3.5)
    wrapped = fill(title, int((min(panels, 3) * width + 1.2) / LETTER))
    height = max(layers * cell[1], 1.6) + 0.6 + 0.17 * wrapped.count("\n")
    return panel_grid(wrapped, panels, width, height, margin=1.2)


def _passing(table: DataFrame) -> Series:
    return table["passes"].eq(True) if "passes" in table else Series(False, table.index)


def _map_detail(table: DataFrame, value: str, threshold: float | None, note: str = "") -> str:
    """The largest value and where it is, and how many reach the threshold."""
    values = table[value].to_numpy(dtype=float)
    if np.isnan(values).all():
        return "not measured"
    best = table[["layer", "head"]].to_numpy()[np.nanargmax(values)]
    largest = f"largest {np.nanmax(values):z.2f} ({head_name(*best)}{note})"
    if threshold is None:
        return largest
    if np.nanmax(values) < threshold:
        return f"{largest}; the registered {threshold:g} is not reached"
    return f"{largest}; {np.sum(values >= threshold)} of {np.isfinite(values).sum()} reach {threshold:g}"


def _ceiling_detail(table: DataFrame, threshold: float) -> str:
    """The best head against its ceiling, and the highest ceiling."""
    r, ceiling = (table[column].to_numpy(dtype=float) for column in ("r", "ceiling"))
    if np.isnan(r).all() or np.isnan(ceiling).all():
        return _map_detail(table, "r", threshold)
    best = np.nanargmax(r)
    share = f", {r[best] / ceiling[best]:.0%} of its ceiling" if ceiling[best] > 0 else ""
    below = ", below it" if np.nanmax(ceiling) < threshold else ""
    return f"{_map_detail(table, 'r', threshold, share)}; the highest ceiling is {np.nanmax(ceiling):.2f}{below}"
