"""Figure of the concept scores: every concept's best latent beside its baselines and its null."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
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
    heading,
    legend_below,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

MOST_CONCEPTS = 45
"""Concepts that get a row of their own."""

ABOVE_ALL = "above every baseline"
ABOVE_NULL = "above the null, not above every baseline"
NOT_FOUND = "not above the null"

TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1)


class Look(NamedTuple):
    """How a verdict is drawn."""

    label: str
    verdicts: tuple[str, ...]
    colour: str
    hollow: bool


LOOKS = (
    Look(ABOVE_ALL, (ABOVE_ALL,), BLUE, hollow=False),
    Look("not above every baseline", (ABOVE_NULL,), BLUE, hollow=True),
    Look("not above the null", (NOT_FOUND,), QUIET, hollow=True),
)


class Marked(NamedTuple):
    """Baselines that share a mark."""

    label: str
    columns: tuple[str, ...]
    colour: str
    marker: str


BASELINES = (
    Marked(
        "neurons, dimensions, components, random directions",
        ("f1_neurons", "f1_dimensions", "f1_principal_components", "f1_random_directions"),
        PURPLE,
        "d",
    ),
    Marked("latents of an untrained model", ("f1_untrained_latents",), GREEN, "^"),
    Marked("identity of the token, of a word", ("f1_token_identity", "f1_word_identity"), ORANGE, "s"),
    Marked("hydropathy of a window", ("f1_hydropathy",), VERMILLION, "x"),
    Marked("every token called", ("f1_every_token",), INK, "|"),
)


@styled
def concept_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Dot plot of F1 on test, a panel per site, a row per concept, the same order in all.

    table: one row per site and concept with columns site, annotation, concept, scored, test_regions, f1, f1_low,
    f1_high, null_mean, null_p95, verdict and f1_BASELINE. Concepts that are not scored are counted in the title.
    """
    scored = table[table["scored"] & table["f1"].notna()]
    if scored.empty:
        return nothing_measured("Concepts")
    keys = scored["annotation"] + "/" + scored["concept"]
    ranked = scored.groupby(keys)["f1"].max().sort_values(ascending=False, kind="stable").index
    shown = list(ranked[:MOST_CONCEPTS])
    sites = list(dict.fromkeys(table["site"]))
    title = f"Latents and concepts: F1 per token on test, {100 * level:g}% intervals"
    legend = 1.7 if len(sites) == 1 else 0.8
    grid = panel_grid(title, len(sites), 3.6, 0.19 * len(shown) + 0.9 + legend, margin=1.7)
    for site, axis in zip(sites, grid.panels, strict=True):
        rows = scored[scored["site"] == site].set_index(keys[scored["site"] == site]).reindex(shown)
        above, silent = int((rows["verdict"] == ABOVE_ALL).sum()), int((~table[table["site"] == site]["scored"]).sum())
        heading(axis, site, f"{above} of {rows['f1'].count()} above every baseline; {silent} too rare to be scored")
        _draw(axis, rows)
        axis.set_xlabel("F1 (square-root scale)")
    several = scored["annotation"].nunique() > 1
    for axis in grid.panels:
        labels = [name if several else name.partition("/")[2] for name in shown] if axis in grid.left() else []
        axis.set_yticks(range(len(shown)), labels or [""] * len(shown))
    marks = [
        *(point_mark(f"best latent, {look.label}", look.colour, "o", hollow=look.hollow) for look in LOOKS),
        *(point_mark(each.label, each.colour, each.marker) for each in BASELINES if set(each.columns) & set(table)),
        point_mark("null: mean to 95th percentile", FAINT, "s"),
    ]
    legend_below(grid.figure, marks, columns=min(2, len(sites)))
    if len(ranked) > len(shown):
        grid.panels[0].annotate(
            f"{len(ranked) - len(shown)} more concepts are in the table",
            (0, 0),
            xytext=(0, -30),
            xycoords="axes fraction",
            textcoords="offset points",
            color=QUIET,
            size=SMALL,
        )
    return grid.figure


def _draw(axis: Axes, rows: DataFrame) -> None:
    place = np.arange(len(rows))
    axis.barh(place, rows["null_p95"] - rows["null_mean"], left=rows["null_mean"], height=0.7, color=FAINT)
    for baseline in BASELINES:
        for column in baseline.columns:
            if column in rows:
                axis.plot(rows[column], place, baseline.marker, color=baseline.colour, markersize=3.5, alpha=0.8)
    for look in LOOKS:
        here = rows["verdict"].isin(look.verdicts).to_numpy()
        axis.hlines(place[here], rows["f1_low"][here], rows["f1_high"][here], color=look.colour, linewidth=1.6)
        face = "white" if look.hollow else look.colour
        axis.plot(rows["f1"][here], place[here], "o", color=look.colour, markerfacecolor=face)
    # Rare concepts have a small F1, and are most of them.
    axis.set_xscale("function", functions=(_root, _square))
    drawn = rows[["f1_high", *(c for each in BASELINES for c in each.columns if c in rows)]].max().max()
    axis.set_xticks([tick for tick in TICKS if tick <= max(drawn, 0.1)])
    axis.set_xlim(-0.0003, 1.08 * max(drawn, 0.1))
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="x")


def _root(values: Float[ndarray, "place"]) -> Float[ndarray, "place"]:
    """Square root, and that of the distance below 0, where a mark's own half lies."""
    root: Float[ndarray, "place"] = np.sign(values) * np.sqrt(np.abs(values))
    return root


def _square(values: Float[ndarray, "place"]) -> Float[ndarray, "place"]:
    square: Float[ndarray, "place"] = np.sign(values) * np.square(values)
    return square
