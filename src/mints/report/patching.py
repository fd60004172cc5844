"""Figures of activation patching: what components and windows restore, and how well one gradient foresees it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from mints.report.heat import MISSING, colour_bar, colours_around, draw_cells, head_name, mark_missing
from mints.report.style import (
    BLUE,
    INK,
    QUIET,
    SMALL,
    VERMILLION,
    about,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

GRANULARITIES = {"residual": "residual stream", "attention": "attention output", "mlp": "MLP output"}
DIRECTIONS = {"denoising": (BLUE, "o", -0.17), "noising": (VERMILLION, "D", 0.17)}
"""Colour, marker and shift along the layers of each direction."""


@styled
def components_figure(table: DataFrame, *, question: str = "", level: float = 0.95) -> Figure:
    """Restoration by layer, one panel per granularity, for denoising and noising; flagged cells are hollow.

    table: columns granularity (residual, attention, mlp), direction (denoising, noising), layer, pm, pm_low, pm_high
    and flag (why the cell proves nothing; empty where it does).
    """
    title = about(question, f"Patching of whole components: restoration, {100 * level:g}% intervals")
    if table.empty:
        return nothing_measured(title)
    shown = [name for name in GRANULARITIES if (table["granularity"] == name).any()]
    grid = panel_grid(title, len(shown), float(np.clip(0.13 * table["layer"].nunique(), 2.9, 4)), 2.4)
    for name, axis in zip(shown, grid.panels, strict=True):
        rows = table[table["granularity"] == name].sort_values("layer")
        heading(axis, GRANULARITIES[name])
        for height in (0, 1):
            axis.axhline(height, color=QUIET, linestyle=":", linewidth=1)
        for direction, (colour, marker, shift) in DIRECTIONS.items():
            _draw_direction(axis, rows[rows["direction"] == direction], colour, marker, shift)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        axis.grid(axis="y")
        axis.sharey(grid.panels[0])
        axis.set_xlabel("layer")
    grid.panels[0].set_ylabel("restoration (PM)")
    marks = [point_mark(name, colour, marker) for name, (colour, marker, _) in DIRECTIONS.items()]
    flags = [flag for flag in table["flag"].dropna().unique() if flag]
    marks += [point_mark(f"flagged: {flag}", INK, "o", hollow=True) for flag in flags]
    if table["pm"].isna().any():
        marks.append(point_mark(*MISSING))
    legend_below(grid.figure, [*marks, line_mark("nothing (0) and everything (1)", QUIET, ":")], columns=2)
    return grid.figure


@styled
def window_map_figure(table: DataFrame, motif_width: int, *, question: str = "") -> Figure:
    """Restoration by layer and by window of nucleotides, with the motif's extent.

    table: columns layer, start, end (bp from the motif's first base, half-open) and pm. Windows that overlap are
    drawn up to the middle of what they share.
    """
    title = about(question, "Patching of windows, by layer")
    if table.empty:
        return nothing_measured(title)
    values = table.pivot(index="layer", columns=["start", "end"], values="pm").sort_index(axis=1)
    values = values.reindex(range(int(table["layer"].max()) + 1))
    ends = np.array(values.columns.to_list(), dtype=float)
    middle = (ends[1:, 0] + ends[:-1, 1]) / 2
    ends[1:, 0], ends[:-1, 1] = np.maximum(ends[1:, 0], middle), np.minimum(ends[:-1, 1], middle)
    restored = values.to_numpy(dtype=float)
    grid = panel_grid(title, 1, 6.4, max(0.16 * len(values), 1.4) + 0.7)
    axis = grid.panels[0]
    heading(axis, "", _window_detail(table))
    cells = draw_cells(axis, ends, restored, colours_around(restored, 0))
    for base in (0, motif_width):
        axis.axvline(base, color="white", linewidth=2.5)
        axis.axvline(base, color=INK, linestyle="--", linewidth=1.2)
    axis.set(xlabel="position from the motif's first base (bp)", ylabel="layer")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=16, min_n_ticks=1))
    colour_bar(grid, cells, "restoration (PM)")
    marks = [line_mark(f"extent of the motif ({motif_width} bp)", INK, "--")]
    if not np.isfinite(restored).all():
        marks.append(point_mark(*MISSING))
    legend_below(grid.figure, marks, columns=2)
    return grid.figure


@styled
def attribution_figure(table: DataFrame, *, question: str = "") -> Figure:
    """What one gradient estimates of every head's restoration against exact patching.

    table: one row per head with columns layer, head, estimate and exact.
    """
    title = about(question, "Attribution and exact patching")
    measured = table.dropna(subset=["estimate", "exact"])
    if measured.empty:
        return nothing_measured(title)
    grid = panel_grid(title, 1, 4.2, 3.8)
    axis = grid.panels[0]
    heading(axis, "", _attribution_detail(table, measured))
    both = measured[["exact", "estimate"]].to_numpy(dtype=float)
    low, high = both.min(), both.max()
    margin = 0.08 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axis.plot(limits, limits, color=QUIET, linestyle=":", linewidth=1)
    axis.plot(*both.T, "o", color=BLUE, markersize=float(np.clip(40 / np.sqrt(len(both)), 2.5, 5)), alpha=0.7)
    strongest = np.abs(both[:, 0]).argmax()
    inwards = -1 if both[strongest, 0] > np.mean(limits) else 1
    axis.annotate(
        head_name(*measured[["layer", "head"]].to_numpy()[strongest]),
        both[strongest].tolist(),
        xytext=(5 * inwards, 5),
        textcoords="offset points",
        horizontalalignment="right" if inwards < 0 else "left",
        size=SMALL,
    )
    axis.set(xlim=limits, ylim=limits, aspect="equal")
    axis.set(xlabel="exact patching: restoration (PM)", ylabel="attribution patching: estimated PM")
    axis.grid()
    legend_below(
        grid.figure, [point_mark("head", BLUE, "o"), line_mark("estimate equals exact", QUIET, ":")], columns=2
    )
    return grid.figure


def _draw_direction(axis: Axes, rows: DataFrame, colour: str, marker: str, shift: float) -> None:
    place = rows["layer"] + shift
    size = float(np.clip(60 / max(len(rows), 1), 2.6, 4.5))
    axis.vlines(place, rows["pm_low"], rows["pm_high"], color=colour, linewidth=0.35 * size)
    axis.plot(place, rows["pm"], marker, color=colour, markersize=size)
    flagged = rows["flag"].notna() & rows["flag"].ne("")
    axis.plot(place[flagged], rows["pm"][flagged], marker, color=colour, markerfacecolor="white", markersize=size)
    mark_missing(axis, place[rows["pm"].isna()].to_numpy())


def _window_detail(table: DataFrame) -> str:
    measured = table.dropna(subset="pm")
    if measured.empty:
        return "not measured"
    cells = measured[["layer", "start", "end", "pm"]].to_numpy(dtype=float)
    layer, start, end, restored = cells[cells[:, 3].argmax()]
    return f"largest {restored:z.2f}: layer {layer:.0f}, {start:.0f} to {end:.0f} bp"


def _attribution_detail(table: DataFrame, measured: DataFrame) -> str:
    """Rank correlation (Spearman) and how many heads it rests on."""
    correlation = measured["estimate"].rank().corr(measured["exact"].rank())
    missing = f", {len(table) - len(measured)} not measured" if len(measured) < len(table) else ""
    return f"Spearman's rank correlation {correlation:.2f} over {len(measured)} heads{missing}"
