"""Figures of the sparse autoencoders: their training, and what each size is worth."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from pandas import DataFrame

from mints.report.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    QUIET,
    VERMILLION,
    heading,
    legend_below,
    nothing_measured,
    panel_grid,
    styled,
)

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION)
"""Of the expansions, in their order; a sixth begins again."""

CURVES = {"variance_explained": "variance explained", "l0": "active latents per token", "dead_share": "dead latents"}
MEASURES = {
    "variance_explained": "variance explained",
    "recovered_of_zero": "loss recovered of zero ablation",
    "recovered_of_mean": "loss recovered of mean ablation",
}
TRAINED = "model"

DODGE = 0.015
"""Share of its place by which each further line is moved to the right."""


@styled
def training_figure(table: DataFrame) -> Figure:
    """Every dictionary's training: one row of panels per site, tokens on the horizontal axis.

    table: columns encoder, site, k, expansion, seed, tokens, variance_explained, l0, dead_share.
    """
    title = "Training of the sparse autoencoders"
    if table.empty:
        return nothing_measured(title)
    sites = list(dict.fromkeys(table["site"]))
    grid = panel_grid(title, len(sites) * len(CURVES), 3.0, 2.2, columns=len(CURVES))
    for place, axis in enumerate(grid.panels):
        site, column = sites[place // len(CURVES)], list(CURVES)[place % len(CURVES)]
        rows = table[table["site"] == site]
        for line in _dictionaries(rows):
            axis.plot(
                line["tokens"] / 1e6, line[column], **_line(table, line), linewidth=1.2, alpha=_shade(table, line)
            )
        heading(axis, CURVES[column], site)
        axis.set_xlim(left=0)
        axis.grid(axis="y")
        if column != "l0":
            axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        if column == "variance_explained":
            # What happens below zero is over after the first steps, and would squeeze all that follows.
            axis.set_ylim(0, 1)
    for axis in grid.bottom():
        axis.set_xlabel("tokens (million)")
    shades = [Line2D([], [], color=QUIET, alpha=_shade(table, rows), label=f"k {k}") for k, rows in table.groupby("k")]
    legend_below(grid.figure, [*_legend(table, marker=""), *shades], columns=5)
    return grid.figure


@styled
def sweep_figure(table: DataFrame) -> Figure:
    """What each size is worth on test windows: one row of panels per site, active latents per token across.

    table: one row per dictionary and split; columns encoder, site, k, expansion, seed, split, l0, and those of
    `MEASURES` with the ends of their intervals where they have some.
    """
    title = "Sparse autoencoders on held-out windows, by active latents and size"
    shown = table[table["split"] == "test"] if len(table) else table
    if shown.empty:
        return nothing_measured(title)
    sites = list(dict.fromkeys(shown["site"]))
    grid = panel_grid(title, len(sites) * len(MEASURES), 3.0, 2.4, columns=len(MEASURES))
    for place, axis in enumerate(grid.panels):
        site, column = sites[place // len(MEASURES)], list(MEASURES)[place % len(MEASURES)]
        _measure(axis, table, shown[shown["site"] == site], column)
        heading(axis, MEASURES[column], site)
    for axis in grid.bottom():
        axis.set_xlabel("active latents per token")
    legend_below(grid.figure, _legend(table, marker="o"), columns=4)
    return grid.figure


def _measure(axis: Axes, table: DataFrame, rows: DataFrame, column: str) -> None:
    """One line per expansion through its k, a mark per dictionary, intervals where there are some."""
    for place, (_, line) in enumerate(rows.sort_values("l0").groupby(["encoder", "expansion", "seed"], sort=False)):
        style = _line(table, line)
        # A little beside each other, so that intervals at the same number can be told apart.
        across = line["l0"] * (1 + DODGE * place)
        hollow = "white" if line["encoder"].iloc[0] != TRAINED else style["color"]
        axis.plot(across, line[column], marker="o", markerfacecolor=hollow, **style, linewidth=1.0)
        if f"{column}_low" in line:
            axis.vlines(across, line[f"{column}_low"], line[f"{column}_high"], color=style["color"], linewidth=1.2)
    if rows[column].isna().all():
        axis.text(0.5, 0.5, "not measured in this run", color=QUIET, ha="center", transform=axis.transAxes)
        return
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_xlim(left=0)
    axis.margins(y=0.15)
    axis.grid(axis="y")


def _dictionaries(rows: DataFrame) -> list[DataFrame]:
    grouped = rows.groupby(["encoder", "k", "expansion", "seed"], sort=False)
    return [line for _, line in grouped]


def _line(table: DataFrame, line: DataFrame) -> dict[str, Any]:
    """Colour of the expansion; dashed on an untrained encoder."""
    expansions = sorted(set(table["expansion"]))
    colour = COLOURS[expansions.index(line["expansion"].iloc[0]) % len(COLOURS)]
    return {"color": colour, "linestyle": "-" if line["encoder"].iloc[0] == TRAINED else "--"}


def _shade(table: DataFrame, line: DataFrame) -> float:
    """Opacity of a k, the largest fully opaque."""
    sizes = sorted(set(table["k"]))
    return 1.0 if len(sizes) == 1 else float(0.4 + 0.6 * sizes.index(line["k"].iloc[0]) / (len(sizes) - 1))


def _legend(table: DataFrame, marker: str) -> list[Line2D]:
    expansions = sorted(set(table["expansion"]))
    marks = [
        Line2D([], [], color=COLOURS[place % len(COLOURS)], marker=marker, label=f"{expansion} latents per dimension")
        for place, expansion in enumerate(expansions)
    ]
    if set(table["encoder"]) - {TRAINED}:
        label = "on an untrained encoder"
        marks.append(Line2D([], [], color=QUIET, linestyle="--", marker=marker, markerfacecolor="white", label=label))
    return marks
