"""Figure of the meta-dictionaries: what they leave of the decoder rows, and what their directions tell."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

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
    panel_grid,
    point_mark,
    styled,
)

ROWS = {
    "decoder rows": (BLUE, "o"),
    "random rows": (QUIET, "s"),
    "random rows of equal covariance": (ORANGE, "^"),
    "decoder rows, untrained dictionary": (VERMILLION, "D"),
}
"""Colour and marker of what is decomposed."""

PROBES = {
    "meta-latent, fixed direction": (BLUE, "o"),
    "mean of the meta-latent's children": (PURPLE, "v"),
    "single latent, its activation": (ORANGE, "^"),
    "single latent, its decoder row": (INK, "<"),
    "difference of means": (GREEN, "P"),
    "logistic probe, trained": (VERMILLION, "D"),
    "best of as many random directions": (QUIET, "s"),
}
"""Colour and marker of the probes that are drawn."""


ABOVE, BELOW = "above: what is decomposed", "below: what tells the concept"
"""Headings of the legend."""


@styled
def meta_sae_figure(curve: DataFrame, probe: DataFrame, *, level: float = 0.95) -> Figure:
    """Per site: unexplained variance over sparsity with the spread of the seeds, and test F1 of every probe.

    curve: columns site, rows, k, seed, left_pursuit. probe: columns site, concept, probe, f1, f1_low, f1_high; may be
    empty.
    """
    sites = curve["site"].drop_duplicates().tolist()
    kinds = 1 if probe.empty else 2
    title = "Dictionaries of decoder rows, and their directions as probes"
    grid = panel_grid(title, kinds * len(sites), 4.6, 3.4, columns=len(sites))
    for site, axis in zip(sites, grid.panels, strict=False):
        heading(axis, "What is left of the rows", site)
        _draw_curve(axis, curve[curve["site"] == site])
    grid.panels[0].set_ylabel("unexplained share of the variance")
    marks = [point_mark(label, colour, marker) for label, (colour, marker) in ROWS.items()]
    if kinds == 2:
        for site, axis in zip(sites, grid.panels[len(sites) :], strict=True):
            heading(axis, f"Concepts by one direction: test F1, {100 * level:g}% intervals", site)
            _draw_probes(axis, probe[probe["site"] == site])
        # One column for the upper panels and one for the lower.
        blanks = [line_mark(" ", "none", "-")] * (len(PROBES) - len(ROWS))
        probes = [point_mark(label, colour, marker) for label, (colour, marker) in PROBES.items()]
        marks = [line_mark(ABOVE, "none", "-"), *marks, *blanks, line_mark(BELOW, "none", "-"), *probes]
    legend_below(grid.figure, marks, columns=2)
    return grid.figure


def _draw_curve(axis: Axes, curve: DataFrame) -> None:
    for rows, (colour, marker) in ROWS.items():
        by_k = curve[curve["rows"] == rows].groupby("k")["left_pursuit"]
        middle = by_k.mean()
        axis.vlines(middle.index, by_k.min(), by_k.max(), color=colour, linewidth=1.2)
        axis.plot(middle.index, middle, color=colour, marker=marker)
    axis.set_xscale("log", base=2)
    ks = sorted(curve["k"].unique())
    axis.set_xticks(ks, [str(k) for k in ks])
    axis.set_xlabel("atoms per row")
    axis.grid(axis="y")


def _draw_probes(axis: Axes, probe: DataFrame) -> None:
    concepts = probe["concept"].drop_duplicates().tolist()
    shifts = np.linspace(-0.3, 0.3, len(PROBES))
    for shift, (name, (colour, marker)) in zip(shifts, PROBES.items(), strict=True):
        rows = probe[probe["probe"] == name]
        place = rows["concept"].map(concepts.index) + shift
        axis.hlines(place, rows["f1_low"], rows["f1_high"], color=colour, linewidth=1.2)
        axis.plot(rows["f1"], place, marker, color=colour, markersize=4)
    axis.set_yticks(range(len(concepts)), [concept.split("/")[-1].replace("_", " ") for concept in concepts])
    axis.set_ylim(len(concepts) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.set_xlabel("F1 over tokens")
    axis.grid(axis="x")
