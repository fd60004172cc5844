"""Figures of a behaviour's read-out and of its latents: who tells it from decoys, and where each latent fires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from mints.report.forest import Estimates, Group, forest, share_row_labels
from mints.report.style import (
    BLUE,
    FAINT,
    GREEN,
    ORANGE,
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

CHANCE = 0.5

PROBE = Group("probe on the last residual stream", BLUE, "o")
FLOOR = Group("floor: no model at all", VERMILLION, "s")

SCORERS: Mapping[str, tuple[str, Group]] = {
    "probe": ("probe", PROBE),
    "hydropathy": ("hydropathy", FLOOR),
    "composition": ("composition", FLOOR),
    "composition_and_flanks": ("composition, flanks too", FLOOR),
}
"""Name and group of every scorer, in the order in which the rows are drawn."""

TRACKED, TRACKED_EXAMPLES = 4, 3
"""Latents whose sequences are drawn, those with the largest effects, and sequences of each."""

COMPARED = 12
"""Latents of each behaviour whose areas are drawn."""


@styled
def behaviour_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Forest plot per behaviour: AUROC on test of the probe and of what needs no model.

    table: columns behaviour, scorer, n_test, auroc, low, high.
    """
    title = f"Behaviour or matched decoy: AUROC on test proteins, {100 * level:g}% intervals"
    behaviours = list(dict.fromkeys(table["behaviour"]))
    grid = panel_grid(title, len(behaviours), 3.2, 1.5, margin=1.9)
    for behaviour, axis in zip(behaviours, grid.panels, strict=True):
        rows = table[table["behaviour"] == behaviour].set_index("scorer").reindex(list(SCORERS))
        heading(axis, behaviour, f"{int(rows['n_test'].iloc[0])} stretches, half of them decoys of equal hydropathy")
        labels, groups = zip(*SCORERS.values(), strict=True)
        forest(axis, labels, groups, Estimates.of(rows, "auroc", "low", "high"))
        axis.axvline(CHANCE, color=QUIET, linewidth=1, linestyle="--")
        axis.set_xlim(min(0.4, float(rows["low"].min()) - 0.02), 1.01)
    share_row_labels(grid, "AUROC")
    marks = [point_mark(group.label, group.colour, group.marker) for group in (PROBE, FLOOR)]
    legend_below(grid.figure, [*marks, line_mark("chance", QUIET, "--")], columns=3)
    return grid.figure


@styled
def tracks_figure(document: Mapping[str, Any], *, question: str = "") -> Figure:
    """Activation along the top sequences of the leading latents, with the annotated residues shaded.

    document: a features file of a circuit. The first examples of each latent are drawn, and one without the behaviour.
    """
    title = about(question, "where the leading latents fire, in test proteins")
    shown = [feature for feature in document["features"] if feature["examples"]][:TRACKED]
    if not shown:
        return nothing_measured(title)
    columns = TRACKED_EXAMPLES + 1
    grid = panel_grid(title, columns * len(shown), 2.6, 1.3, margin=0.7, columns=columns)
    for row, feature in enumerate(shown):
        panels = grid.panels[row * columns : (row + 1) * columns]
        drawn = [*feature["examples"][:TRACKED_EXAMPLES]]
        drawn += [None] * (TRACKED_EXAMPLES - len(drawn)) + [next(iter(feature["negatives"]), None)]
        top = 1.1 * max(each["max_act"] for each in drawn if each)
        for place, (axis, each) in enumerate(zip(panels, drawn, strict=True)):
            _draw_track(axis, each, top)
            if each:
                name = each["accession"] if place else f"{feature['id']}   {each['accession']}"
                heading(axis, name, _told(feature, each, first=place == 0))
        panels[0].set_ylabel("activation")
    for axis in grid.bottom():
        axis.set_xlabel("residue")
    marks = [
        line_mark("activation", BLUE, "-"),
        point_mark("residues annotated with the behaviour", ORANGE, "s"),
        line_mark("threshold of the latent's segments", QUIET, "--"),
    ]
    legend_below(grid.figure, marks, columns=3)
    return grid.figure


def _told(feature: Mapping[str, Any], each: Mapping[str, Any], *, first: bool) -> str:
    """What stands below a panel's title: whether the protein has the behaviour, and how well the latent tells it."""
    known = "annotated" if each["behavior_segments"] else "without the behaviour"
    if not first or feature["auroc"] is None:
        return known
    return f"AUROC {feature['auroc']:.2f}, F1 {feature['f1'] or 0.0:.2f}; {known}"


def _draw_track(axis: Axes, each: Mapping[str, Any] | None, top: float) -> None:
    if each is None:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "none", color=QUIET, ha="center", va="center", size=SMALL)
        return
    residues = 1 + np.arange(each["seq_len"])
    for first, last in each["behavior_segments"]:
        axis.axvspan(first + 0.5, last + 1.5, color=ORANGE, alpha=0.3, linewidth=0)
    axis.vlines(residues, 0, each["activations"], color=BLUE, linewidth=0.8)
    axis.axhline(each["threshold"], color=QUIET, linewidth=0.8, linestyle="--")
    axis.set(xlim=(0.5, each["seq_len"] + 0.5), ylim=(0, top))


@styled
def specificity_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """AUROC of each leading latent: its behaviour's residues against decoys, and against other behaviours' residues.

    table: columns behaviour, site, latent, weight, and for each kind K of region auroc_K, auroc_K_low, auroc_K_high.
    """
    title = f"Whose are the latents? AUROC of the mean activation on test proteins, {100 * level:g}% intervals"
    behaviours = list(dict.fromkeys(table["behaviour"]))
    if not behaviours:
        return nothing_measured(title)
    grid = panel_grid(title, len(behaviours), 4.0, 0.34 * COMPARED + 0.6, margin=1.0)
    kinds = [
        name[len("auroc_") : -len("_low")] for name in map(str, table) if name.endswith("_low") and "auroc_" in name
    ]
    looks = dict(zip(kinds, [(VERMILLION, "s"), (BLUE, "o"), (GREEN, "^")], strict=False))
    for behaviour, axis in zip(behaviours, grid.panels, strict=True):
        rows = table[table["behaviour"] == behaviour]
        rows = rows.reindex(rows["weight"].abs().sort_values(ascending=False, kind="stable").index)[:COMPARED]
        heading(axis, behaviour, "the latents with the largest effects on it, the largest on top")
        for kind, (colour, marker) in looks.items():
            _draw_areas(axis, rows, kind, (list(looks).index(kind) - (len(looks) - 1) / 2) * 0.25, colour, marker)
        names = [f"L{site.split('.')[1]}:F{latent}" for site, latent in zip(rows["site"], rows["latent"], strict=True)]
        axis.set_yticks(range(len(rows)), names)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.axvline(CHANCE, color=FAINT, linewidth=1)
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("AUROC (0.5: no preference)")
        axis.grid(axis="x")
    named = {"decoys": "against its decoys"} | {kind: f"against {kind}" for kind in kinds if kind != "decoys"}
    marks = [point_mark(named[kind], *look) for kind, look in looks.items()]
    legend_below(grid.figure, marks, columns=len(marks))
    return grid.figure


def _draw_areas(axis: Axes, rows: DataFrame, kind: str, shift: float, colour: str, marker: str) -> None:
    value, low, high = (rows[f"auroc_{kind}{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
    known = ~np.isnan(value)
    place = np.arange(len(rows))[known] + shift
    axis.hlines(place, low[known], high[known], color=colour, linewidth=1.2)
    axis.plot(value[known], place, marker, color=colour, markersize=4)
