"""Figures of a basecaller's patching: by layer, by stratum, between the groups, and time step by time step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from mints.report.forest import Estimates, Group, forest, share_row_labels
from mints.report.style import (
    BLUE,
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

MEASURE_NAMES = {"transition": "correct transitions' log-odds", "sequence": "sequences' log-odds"}
GRANULARITIES = {"layer": "layer's output", "attention": "attention output", "mlp": "MLP output"}
DIRECTIONS = ("denoising", "noising")
GROUPS = {"homopolymer": (BLUE, "o", -0.13), "other": (VERMILLION, "s", 0.13)}
"""Colour, marker and shift along the layers of each group."""

NULLS = ("other_corrupted", "other_site", "unrelated")
STRATIFIERS = {"base": "base", "run_length": "run length", "corruption": "corruption"}
LAYER_COLOURS = (ORANGE, GREEN, BLUE, PURPLE, VERMILLION)
CLEAN_RUN = "clean run"


@styled
def layers_figure(table: DataFrame, *, measure: str, level: float = 0.95) -> Figure:
    """Restoration and degradation by layer, one column per kind of component, one row per direction, both groups.

    table: rows of `patching/components.csv` of one measure. Hollow marks: the whole chunk is patched and not the run
    alone. Grey ticks: the largest of the three nulls.
    """
    title = f"Patching a basecaller's layers at the run: {MEASURE_NAMES[measure]}, {100 * level:g}% intervals"
    if table["pm"].isna().all():
        return nothing_measured(title)
    width = float(np.clip(0.3 * table["layer"].nunique(), 3.0, 5))
    grid = panel_grid(title, 6, width, 2.4, columns=3)
    cells = [(direction, kind) for direction in DIRECTIONS for kind in GRANULARITIES]
    for axis, (direction, kind) in zip(grid.panels, cells, strict=True):
        rows = table[(table["direction"] == direction) & (table["granularity"] == kind)]
        detail = _effect_detail(rows) if kind == "layer" else _largest_detail(rows)
        heading(axis, f"{GRANULARITIES[kind]}, {direction}", detail)
        for height in (0, 1) if kind == "layer" else (0,):
            axis.axhline(height, color=QUIET, linestyle=":", linewidth=1)
        for group, (colour, marker, shift) in GROUPS.items():
            _draw_group(axis, rows[rows["group"] == group], colour, marker, shift)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
        axis.margins(x=0.08)
        axis.grid(axis="y")
    for axis in grid.left():
        axis.set_ylabel("share of the effect (PM)")
    for axis in grid.bottom():
        axis.set_xlabel("layer")
    marks = [point_mark(group, colour, marker) for group, (colour, marker, _) in GROUPS.items()]
    marks += [point_mark("whole chunk patched", INK, "d", hollow=True), point_mark("largest null", QUIET, "_")]
    legend_below(grid.figure, marks, columns=4)
    return grid.figure


def _draw_group(axis: Axes, rows: DataFrame, colour: str, marker: str, shift: float) -> None:
    run, chunk = (rows[rows["patch"] == patch].sort_values("layer") for patch in ("run", "chunk"))
    place = run["layer"] + shift
    axis.plot(place, run[list(NULLS)].max(axis=1), "_", color=QUIET, markersize=8, markeredgewidth=1.6)
    axis.vlines(place, run["pm_low"], run["pm_high"], color=colour, linewidth=1.6)
    axis.plot(place, run["pm"], marker, color=colour, linestyle="-", linewidth=0.7, markersize=4.5)
    axis.plot(chunk["layer"] + 2 * shift, chunk["pm"], "d", color=colour, markerfacecolor="white", markersize=3.5)


def _effect_detail(rows: DataFrame) -> str:
    """Mean effect that the shares are of, by group."""
    effects = dict(zip(rows["group"], rows["effect"], strict=True))
    parts = [f"{effects[group]:.2f}" for group in GROUPS if group in effects]
    return f"mean effect {' and '.join(parts)} nats"


def _largest_detail(rows: DataFrame) -> str:
    """The layer in which each group's share is largest."""
    at_run = rows[rows["patch"] == "run"].dropna(subset="pm")
    parts = []
    for group in GROUPS:
        values = at_run[at_run["group"] == group].set_index("layer")["pm"]
        if len(values):
            parts.append(f"{values.max():.2f} (layer {values.idxmax()})")
    return f"largest {' and '.join(parts)}" if parts else "not measured"


@styled
def strata_figure(table: DataFrame, layers: Mapping[str, int], *, measure: str, level: float = 0.95) -> Figure:
    """Forest of the restoration by base, run length and corruption; one panel per kind of component.

    table: rows of `tables/basecaller_strata.csv` of one measure. layers: which layer is shown of attention and MLP;
    a layer's whole output at the run restores nearly everything in every stratum.
    """
    title = f"Denoising at the run by stratum: {MEASURE_NAMES[measure]}, {100 * level:g}% intervals"
    shown = {kind: layer for kind, layer in layers.items() if kind in ("attention", "mlp")}
    if table["pm"].isna().all() or not shown:
        return nothing_measured(title)
    count = len(table[["stratifier", "stratum", "group"]].drop_duplicates())
    grid = panel_grid(title, len(shown), 3.2, 0.17 * count + 0.7, margin=1.9, columns=len(shown))
    for axis, (kind, layer) in zip(grid.panels, shown.items(), strict=True):
        rows = table[(table["granularity"] == kind) & (table["layer"] == layer)]
        rows = rows.sort_values(["stratifier", "stratum", "group"], kind="stable")
        heading(axis, f"{GRANULARITIES[kind]}, layer {layer}")
        labels = [
            f"{STRATIFIERS[by]} {value}" if by != "corruption" else value.replace("_", " ")
            for by, value in zip(rows["stratifier"], rows["stratum"], strict=True)
        ]
        groups = [Group(group, *GROUPS[group][:2]) for group in rows["group"]]
        axis.axvline(0, color=QUIET, linestyle=":", linewidth=1)
        forest(axis, labels, groups, Estimates.of(rows, "pm", "pm_low", "pm_high"))
        _limit(axis, rows)
    share_row_labels(grid, "share restored (PM)")
    marks = [point_mark(group, colour, marker) for group, (colour, marker, _) in GROUPS.items()]
    legend_below(grid.figure, marks, columns=2)
    return grid.figure


def _limit(axis: Axes, rows: DataFrame) -> None:
    """Room for nine tenths of the intervals: a stratum without effect has one of any width."""
    ends = rows[["pm_low", "pm_high"]].to_numpy(dtype=float)
    ends = ends[np.isfinite(ends).all(axis=1)]
    if len(ends):
        low, high = np.quantile(ends[:, 0], 0.1), np.quantile(ends[:, 1], 0.9)
        margin = 0.1 * (high - low) or 0.1
        axis.set_xlim(min(low - margin, -margin), high + margin)


@styled
def groups_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Homopolymer less other by layer, on equal strata; denoising at the run.

    table: `tables/basecaller_groups.csv`.
    """
    title = f"Homopolymer less other, equal strata: difference of the shares restored, {100 * level:g}% intervals"
    rows = table[(table["patch"] == "run") & (table["direction"] == "denoising")]
    if rows["difference"].isna().all():
        return nothing_measured(title)
    grid = panel_grid(title, 3, 3.0, 2.5, columns=3)
    looks = {"transition": (GREEN, "o", -0.13), "sequence": (PURPLE, "D", 0.13)}
    for axis, kind in zip(grid.panels, GRANULARITIES, strict=True):
        heading(axis, GRANULARITIES[kind])
        axis.axhline(0, color=QUIET, linestyle=":", linewidth=1)
        for measure, (colour, marker, shift) in looks.items():
            part = rows[(rows["granularity"] == kind) & (rows["measure"] == measure)].sort_values("layer")
            axis.vlines(part["layer"] + shift, part["low"], part["high"], color=colour, linewidth=1.6)
            axis.plot(part["layer"] + shift, part["difference"], marker, color=colour, markersize=4.5)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
        axis.margins(x=0.08)
        axis.grid(axis="y")
        axis.set_xlabel("layer")
    grid.panels[0].set_ylabel("difference of PM")
    marks = [point_mark(MEASURE_NAMES[name], colour, marker) for name, (colour, marker, _) in looks.items()]
    legend_below(grid.figure, marks, columns=2)
    return grid.figure


@styled
def tracks_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Gain of the correct transition's log-odds around the run, when a component is taken from the clean run there.

    table: `patching/tracks.csv`. Of many layers five are drawn.
    """
    title = f"What is restored, time step by time step; bands are {100 * level:g}% intervals of the clean run"
    if table["gain"].isna().all():
        return nothing_measured(title)
    grid = panel_grid(title, 6, 3.3, 2.3, columns=3)
    layers = np.unique(table.loc[table["layer"] >= 0, "layer"])
    shown = layers[np.unique(np.linspace(0, len(layers) - 1, len(LAYER_COLOURS)).round().astype(int))]
    colours = dict(zip(shown, LAYER_COLOURS, strict=False))
    cells = [(group, kind) for group in GROUPS for kind in GRANULARITIES]
    for axis, (group, kind) in zip(grid.panels, cells, strict=True):
        heading(axis, f"{group}: {GRANULARITIES[kind]}")
        rows = table[table["group"] == group]
        clean = rows[rows["component"] == CLEAN_RUN].sort_values("sample")
        axis.axhline(0, color=QUIET, linestyle=":", linewidth=1)
        axis.axvline(0, color=QUIET, linewidth=0.8)
        axis.fill_between(clean["sample"], clean["low"], clean["high"], color=QUIET, alpha=0.25, linewidth=0)
        axis.plot(clean["sample"], clean["gain"], color=INK, linewidth=1.4)
        for layer, colour in colours.items():
            part = rows[(rows["component"] == kind) & (rows["layer"] == layer)].sort_values("sample")
            axis.plot(part["sample"], part["gain"], color=colour, linewidth=1.2, linestyle=(0, (4, 1)))
        axis.grid(axis="y")
        axis.sharey(grid.panels[0])
    for axis in grid.left():
        axis.set_ylabel("gain in log-odds (nats)")
    for axis in grid.bottom():
        axis.set_xlabel("samples from the run's first time step")
    marks = [line_mark("clean run: all there is to restore", INK, "-")]
    marks += [line_mark(f"layer {layer}", colour, (0, (4, 1))) for layer, colour in colours.items()]
    legend_below(grid.figure, marks, columns=min(6, len(marks)))
    return grid.figure
