"""Figures of a feature circuit: its graph, its curves, and what tracing finds of planted ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from pandas import DataFrame

from mints.report.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
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

SHOWN = 12
"""Nodes of each site in the drawing, the ones that matter most to the behaviour."""

STRONGEST = 40
"""Edges between latents in the drawing."""

SIGNIFICANT = 0.05
"""Largest q of an edge in the drawing."""

WIDEST = 4.5
"""Width of the largest edge of each kind, in points."""

ERROR = -1
"""Number of a site's error node among its latents."""

MEASURES = {
    "faithfulness": "the circuit alone",
    "completeness": "the model without it",
    "minimality": "loss of faithfulness when one node goes",
}


@styled
def circuit_figure(edges: DataFrame, *, question: str = "") -> Figure:
    """Latents in columns by site, the behaviour on the right; colour is the sign, width the size, of its own kind.

    edges: columns kind, source_site, source, target_site, target, weight, low, high, q. Drawn are the latents with the
    largest effects on the behaviour, each effect beside the latent's name, and the strongest edges between them. What
    is not significant is pale; an edge of an error node, which has no q, is judged by its interval.
    """
    title = about(question, "feature circuit")
    to_behaviour = edges[edges["kind"] == "feat->behavior"]
    if to_behaviour.empty:
        return nothing_measured(title)
    shown = (
        to_behaviour.reindex(to_behaviour["weight"].abs().sort_values(ascending=False, kind="stable").index)
        .groupby("source_site", sort=False)
        .head(SHOWN)
    )
    effect = {(row["source_site"], row["source"]): row["weight"] for row in _records(shown)}
    sure = {(row["source_site"], row["source"]): _is_sure(row) for row in _records(shown)}
    sites = [site for site in dict.fromkeys(edges["source_site"]) if site in set(shown["source_site"])]
    between = _between(edges, effect)
    place = _places(sites, effect, between)
    rows = max(sum(node[0] == site for node in effect) for site in sites)
    grid = panel_grid(title, 1, 3.0 * (len(sites) + 0.6), max(0.3 * rows, 2.0) + 0.6, margin=0.4)
    axis = grid.panels[0]
    end = (len(sites), 0.5)
    last = {node: weight for node, weight in effect.items() if node[0] == sites[-1]}
    for node, weight in last.items():
        _draw_edge(axis, place[node], end, weight, max(map(abs, last.values())), sure[node])
    largest = max(map(abs, between.values()), default=1.0)
    certain = {_ends(row) for row in _records(edges[edges["kind"] == "feat->feat"]) if _is_sure(row)}
    for (source, target), weight in between.items():
        _draw_edge(axis, place[source], place[target], weight, largest, (source, target) in certain)
    for node, weight in effect.items():
        _draw_node(axis, place[node], "error" if node[1] == ERROR else f"F{node[1]}", weight, sure[node])
    axis.text(*end, "  behaviour", color=INK, weight="bold", va="center")
    axis.plot(*end, "s", color=INK, markersize=9)
    for column, site in enumerate(sites):
        axis.text(column, 1.06, site, color=QUIET, size=SMALL, ha="center")
    axis.set(xlim=(-0.45, len(sites) + 0.55), ylim=(-0.06, 1.1))
    axis.set_axis_off()
    sides = ("raises its target", BLUE), ("lowers it", VERMILLION), ("pale: not significant", FAINT)
    legend_below(grid.figure, [line_mark(label, colour, "-") for label, colour in sides], columns=3)
    return grid.figure


def _records(table: DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return rows


def _ends(row: Mapping[str, Any]) -> tuple[tuple[str, int], tuple[str, int]]:
    return (row["source_site"], row["source"]), (row["target_site"], row["target"])


Place = tuple[float, float]
Latent = tuple[str, int]


def _between(edges: DataFrame, effect: Mapping[Latent, float]) -> dict[tuple[Latent, Latent], float]:
    """The strongest edges between the nodes that are shown, of those whose interval is on one side of 0."""
    chosen = edges[(edges["kind"] == "feat->feat") & ((edges["low"] > 0) | (edges["high"] < 0))]
    chosen = chosen.reindex(chosen["weight"].abs().sort_values(ascending=False, kind="stable").index)
    pairs = {_ends(row): row["weight"] for row in _records(chosen)}
    inside = [(ends, weight) for ends, weight in pairs.items() if all(end in effect for end in ends)]
    return dict(inside[:STRONGEST])


def _places(
    sites: list[str], effect: Mapping[Latent, float], between: Mapping[tuple[Latent, Latent], float]
) -> dict[Latent, Place]:
    """The highest site by effect on the behaviour; below it each latent as near as may be to what it drives."""
    place: dict[Latent, Place] = {}
    for column in reversed(range(len(sites))):
        nodes = [node for node in effect if node[0] == sites[column]]

        def height(node: Latent) -> tuple[float, float]:
            driven = [(abs(w), place[target][1]) for (source, target), w in between.items() if source == node]
            total = sum(size for size, _ in driven)
            centre = sum(size * at for size, at in driven) / total if total else -1.0
            return (centre, effect[node])

        last = column == len(sites) - 1
        nodes.sort(key=(lambda node: (effect[node], 0.0)) if last else height)
        for row, node in enumerate(nodes):
            place[node] = (float(column), (row + 0.5) / len(nodes))
    return place


def _is_sure(row: Mapping[str, Any]) -> bool:
    """Significant; an error node's edge, to which nothing is matched, by its interval."""
    return bool(row["q"] <= SIGNIFICANT) or (row["source"] == ERROR and (row["low"] > 0 or row["high"] < 0))


def _draw_edge(axis: Axes, start: Place, end: Place, weight: float, largest: float, sure: bool) -> None:
    t = np.linspace(0, 1, 40)
    bend = 3 * t**2 - 2 * t**3
    x, y = start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * bend
    colour = BLUE if weight > 0 else VERMILLION
    axis.plot(
        x, y, color=colour, linewidth=max(0.4, WIDEST * abs(weight) / largest), alpha=0.6 if sure else 0.15, zorder=1
    )


def _draw_node(axis: Axes, place: Place, name: str, weight: float, sure: bool) -> None:
    colour = (BLUE if weight > 0 else VERMILLION) if sure else FAINT
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": colour, "linewidth": 1.2}
    ink = INK if sure else QUIET
    axis.text(*place, f"{name}  {weight:+.3f}", size=7.5, color=ink, ha="center", va="center", bbox=box, zorder=3)


@styled
def curves_figure(curves: DataFrame, *, question: str = "") -> Figure:
    """Faithfulness, completeness and minimality against the number of nodes, beside random circuits of equal size.

    curves: columns measure, errors, nodes, value, low, high, random_mean, random_low, random_high.
    """
    title = about(question, "circuit curves")
    if curves.empty:
        return nothing_measured(title)
    grid = panel_grid(title, len(MEASURES), 3.5, 2.9, margin=0.4)
    for axis, (measure, meaning) in zip(grid.panels, MEASURES.items(), strict=True):
        rows = curves[curves["measure"] == measure]
        heading(axis, measure, meaning)
        sizes = np.sort(rows["nodes"].unique())
        for errors, colour, marker in (("keep", BLUE, "o"), ("remove", ORANGE, "s")):
            _draw_curve(axis, rows[rows["errors"] == errors].sort_values("nodes"), sizes, colour, marker)
        axis.axhline(0, color=FAINT, linewidth=0.8)
        every = max(1, len(sizes) // 6)
        labelled = sorted(range(len(sizes))[::-every])
        axis.set_xticks(labelled, [f"{sizes[place]}" for place in labelled])
        axis.set_xlabel("nodes (latents of all sites)")
        axis.grid(axis="y")
    grid.panels[0].set_ylabel("share of the behaviour")
    marks = [
        point_mark("error nodes kept in the circuit", BLUE, "o"),
        point_mark("error nodes left out", ORANGE, "s"),
        line_mark("random circuits: mean and range", QUIET, "--"),
    ]
    legend_below(grid.figure, marks, columns=3)
    return grid.figure


def _draw_curve(axis: Axes, rows: DataFrame, sizes: np.ndarray, colour: str, marker: str) -> None:
    place = np.searchsorted(sizes, rows["nodes"])
    axis.plot(place, rows["value"], color=colour, marker=marker, markersize=3.5)
    axis.fill_between(place, rows["low"].astype(float), rows["high"].astype(float), color=colour, alpha=0.15, lw=0)
    drawn = rows["random_mean"].notna().to_numpy()
    if drawn.any():
        chance = rows[drawn]
        axis.plot(place[drawn], chance["random_mean"], "--", color=colour, linewidth=1)
        axis.vlines(place[drawn], chance["random_low"], chance["random_high"], color=colour, linewidth=1)


class Look(NamedTuple):
    """How a criterion is drawn."""

    colour: str
    marker: str


LOOKS = (Look(BLUE, "o"), Look(GREEN, "^"), Look(PURPLE, "D"), Look(VERMILLION, "s"))


@styled
def planted_figure(trials: DataFrame, detection: DataFrame) -> Figure:
    """Detection rates of planted circuits by strength, and the rank of each planted edge.

    trials: columns upstream, downstream, strength, edge_rank, latents. detection: criterion, strength, planted,
    detected, rate, low, high.
    """
    title = "Planted circuits: what tracing finds of them; 95% intervals"
    if trials.empty or detection.empty:
        return nothing_measured(title)
    grid = panel_grid(title, 2, 4.3, 3.0, margin=0.4)
    rates, ranks = grid.panels
    planted = int(detection["planted"].max())
    heading(rates, "Detection rate", f"{planted} circuits planted at each strength; found: among the 5 strongest")
    heading(ranks, "Rank of the planted edge", f"among the edges of up to {trials['latents'].max():,} latents into b")
    strengths = np.sort(trials["strength"].unique())
    criteria = list(dict.fromkeys(detection["criterion"]))
    for index, (criterion, look) in enumerate(zip(criteria, LOOKS, strict=True)):
        rows = detection[detection["criterion"] == criterion].sort_values("strength")
        shift = ScaledTranslation((index - 1.5) * 5 / 72, 0, rates.figure.dpi_scale_trans)
        place = np.searchsorted(strengths, rows["strength"])
        moved = rates.transData + shift
        rates.vlines(place, rows["low"], rows["high"], color=look.colour, linewidth=1.2, transform=moved)
        rates.plot(place, rows["rate"], color=look.colour, marker=look.marker, markersize=4, lw=1, transform=moved)
    rates.set(ylim=(-0.05, 1.05), ylabel="detection rate")
    for _, rows in trials.groupby(["upstream", "downstream"]):
        ordered = rows.sort_values("strength")
        place = np.searchsorted(strengths, ordered["strength"])
        ranks.plot(place, ordered["edge_rank"], "-o", color=BLUE, linewidth=0.8, markersize=3, alpha=0.6)
    ranks.axhline(5, color=QUIET, linewidth=1, linestyle="--")
    ranks.set_yscale("log")
    ranks.invert_yaxis()
    ranks.set_ylabel("rank (1 is the strongest)")
    for axis in grid.panels:
        axis.set_xticks(range(len(strengths)), [f"{strength:g}" for strength in strengths])
        axis.set_xlim(-0.4, len(strengths) - 0.6)
        axis.set_xlabel("planted strength (evenly spaced)")
        axis.grid(axis="y")
    marks = [point_mark(criterion, *look) for criterion, look in zip(criteria, LOOKS, strict=True)]
    legend_below(grid.figure, marks, columns=4)
    return grid.figure
