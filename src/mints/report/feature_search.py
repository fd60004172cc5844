"""Figures of the distributed feature search."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from mints.report.forest import Estimates, Group, forest
from mints.report.style import (
    BLUE,
    FAINT,
    GREEN,
    ORANGE,
    PURPLE,
    QUIET,
    heading,
    legend_below,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

SETS = {
    "latents": Group("latents", BLUE, "o"),
    "neurons": Group("the site's own dimensions", ORANGE, "s"),
    "principal components": Group("principal components", GREEN, "D"),
    "random directions": Group("random directions", PURPLE, "^"),
}
"""How each set of units is drawn."""

SIGNIFICANT = 0.05
"""Largest q-value of a latent that counts as following the motif beyond the label."""

R_LABEL = "Pearson r with the motif score over test sequences"


@styled
def top_latents_figure(table: DataFrame, question: str, stream: str) -> Figure:
    """The ten latents that follow the motif best on validation: r on test with intervals, and validation's r.

    table: columns unit, validation_r, r, low, high, q_within_label, activation_frequency.
    """
    title = f"{question.replace('_', ' ')}: latents of the {stream} that follow the motif"
    if table.empty:
        return nothing_measured(title)
    grid = panel_grid(title, 1, 5.6, 3.2, margin=1.6)
    axis = grid.panels[0]
    labels = [
        f"latent {unit}  ({frequency:.0%} of sequences)"
        for unit, frequency in zip(table["unit"], table["activation_frequency"], strict=True)
    ]
    groups = [
        Group("beyond", BLUE, "o") if q <= 0.05 else Group("not beyond", QUIET, "o") for q in table["q_within_label"]
    ]
    axis.axvline(0, color=FAINT, linewidth=0.8)
    forest(axis, labels, groups, Estimates.of(table, "r", "low", "high"))
    axis.plot(table["validation_r"], np.arange(len(table)), "o", markerfacecolor="white", color=ORANGE, zorder=0)
    axis.set_xlabel(R_LABEL)
    marks = [
        point_mark("test; beyond the label (q ≤ 0.05)", BLUE, "o"),
        point_mark("test; not beyond the label", QUIET, "o"),
        point_mark("validation", ORANGE, "o", hollow=True),
    ]
    legend_below(grid.figure, marks, columns=3)
    return grid.figure


@styled
def search_figure(table: DataFrame) -> Figure:
    """Per question and stream, the best unit of each set: latents beside what needs no autoencoder.

    table: one row per question, stream and set; columns r, low, high.
    """
    title = "Does a latent follow the motif better than what needs no autoencoder?"
    if table.empty:
        return nothing_measured(title)
    questions = list(dict.fromkeys(table["question"]))
    streams = list(dict.fromkeys(table["stream"]))
    grid = panel_grid(title, len(questions), 4.6, 0.8 + 0.85 * len(streams), margin=1.2, columns=min(2, len(questions)))
    for axis, question in zip(grid.panels, questions, strict=True):
        _question(axis, table[table["question"] == question], streams)
        heading(axis, question.replace("_", " "))
        if axis not in grid.left():
            axis.set_yticklabels([])
    for axis in grid.bottom():
        axis.set_xlabel(R_LABEL)
    marks = [point_mark(group.label, group.colour, group.marker) for group in SETS.values()]
    legend_below(grid.figure, marks, columns=4)
    return grid.figure


def _question(axis: Axes, table: DataFrame, streams: list[str]) -> None:
    """One row per stream, the sets one below the other in it."""
    for row, stream in enumerate(streams):
        for place, (name, group) in enumerate(SETS.items()):
            found = table[(table["stream"] == stream) & (table["units"] == name)]
            for value, low, high in found[["r", "low", "high"]].itertuples(index=False):
                y = row + (place - 1.5) * 0.18
                axis.hlines(y, low, high, color=group.colour, linewidth=1.5)
                axis.plot(value, y, group.marker, color=group.colour)
        if row:
            axis.axhline(row - 0.5, color=FAINT, linewidth=0.8)
    axis.axvline(0, color=FAINT, linewidth=0.8)
    axis.set_yticks(range(len(streams)), [_plain(stream) for stream in streams])
    axis.set_ylim(len(streams) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")


def _plain(stream: str) -> str:
    """A site of token-level latents says so; the others are means over sequences."""
    if "." not in stream:
        return f"{stream},\nsequence means"
    return stream.replace("blocks.", "layer ").replace(".hook_", ",\n").replace("resid_post", "residual, tokens")
