"""Figures of what single latents, sets of latents and single-base substitutions do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.typing import LineStyleType
from numpy import ndarray
from pandas import DataFrame

from mints.report.forest import Estimates, Group, forest
from mints.report.heat import colours_around, draw_cells
from mints.report.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
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
"""Latents with the largest shares that are drawn."""


class Drawn(NamedTuple):
    """What of the tables a study draws, and what it calls it."""

    readouts: Mapping[str, str]
    rankings: Mapping[str, tuple[str, str, LineStyleType]]
    """Name, colour and line of the sets of a ranking; a comma at its end stands before the read-out's name."""


OF_PAIRS = Drawn(
    {"probe": "probe logit", "substitution": "substitution score"},
    {
        "integrated gradients,": ("sets by integrated gradients", BLUE, "-"),
        "change times gradient,": ("sets by change times gradient", GREEN, "-"),
        "change": ("sets by change", ORANGE, "-"),
        "matched latents,": ("matched sets", QUIET, "--"),
    },
)
OF_SUBSTITUTIONS = Drawn(
    {
        "substitution": "log-odds at the substitution",
        "other_tokens": "log-likelihood of all other residues",
        "hidden_tokens": "log-likelihood of hidden residues",
    },
    {
        "integrated gradients,": ("sets by integrated gradients", BLUE, "-"),
        "matched latents,": ("matched sets", QUIET, "--"),
        "change times gradient in the pair,": ("each mutant's own, by change times gradient", GREEN, "-"),
        "change in the pair": ("each mutant's own, by change", ORANGE, "-"),
        "random order in the pair": ("each mutant's own, in random order", QUIET, ":"),
    },
)

WHOLES: Mapping[str, tuple[str, LineStyleType]] = {
    "all latents": (PURPLE, "-."),
    "latents and error": (VERMILLION, "-."),
    "token identity": (INK, "--"),
}

CHANGE = ("change", "change_low", "change_high")

MEASURES = {
    "wild_type_marginal": ("wild-type marginal", "nats"),
    "masked_marginal": ("masked marginal", "nats"),
    "other_tokens": ("log-likelihood of all other tokens", "nats"),
    "probe": ("probe logit", "logit"),
}

BASES = "ACGT"


@styled
def latent_effects_figure(
    singles: DataFrame, sets: DataFrame, *, question: str = "", drawn: Drawn = OF_PAIRS
) -> Figure:
    """What latents restore alone, largest first, and in sets of growing size; changed tokens, denoising.

    singles: columns direction, readout, latent, change, change_low, change_high, matched, random. sets: columns tokens,
    direction, readout, ranking, size, change, change_low, change_high, effect, effect_low, effect_high.
    """
    title = about(question, "what latents restore of the difference between the two sides")
    if singles.empty or sets["change"].isna().all():
        return nothing_measured(title)
    grid = panel_grid(title, 2 * len(drawn.readouts), 4.6, 3.0, columns=2)
    panels = iter(grid.panels)
    for readout, name in drawn.readouts.items():
        of_readout = singles[(singles["direction"] == "denoising") & (singles["readout"] == readout)]
        _singles(next(panels), of_readout, name)
        together = sets[(sets["direction"] == "denoising") & (sets["tokens"] == "changed tokens")]
        _curves(next(panels), together[together["readout"] == readout], readout, name, drawn)
    marks = [point_mark("one latent", BLUE, "o"), point_mark("matched latents", QUIET, "|")]
    marks += [point_mark("random direction", VERMILLION, "x")]
    marks += [line_mark(*style) for style in drawn.rankings.values()]
    marks += [line_mark(name, *style) for name, style in WHOLES.items() if name in set(sets["ranking"])]
    legend_below(grid.figure, marks, columns=4)
    return grid.figure


def _singles(axis: Axes, table: DataFrame, name: str) -> None:
    rows = table.iloc[np.argsort(-table["change"].abs(), kind="stable")[:SHOWN]]
    heading(axis, f"one latent at a time: {name}", f"the {len(rows)} largest of {len(table)} tested")
    labels = [str(latent) for latent in rows["latent"]]
    forest(axis, labels, [Group("one latent", BLUE, "o")] * len(rows), Estimates.of(rows, *CHANGE))
    place = np.arange(len(rows))
    axis.plot(rows["matched"], place, "|", color=QUIET, markersize=9, markeredgewidth=1.6)
    axis.plot(rows["random"], place, "x", color=VERMILLION, markersize=4)
    axis.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    axis.set_xlabel("mean change of the read-out (nats)")
    axis.set_ylabel("latent")


def _curves(axis: Axes, table: DataFrame, readout: str, name: str, drawn: Drawn) -> None:
    effect, low, high = table[["effect", "effect_low", "effect_high"]].iloc[0]
    heading(axis, f"sets of latents: {name}", f"whole effect {effect:.2f} [{low:.2f}, {high:.2f}], dotted")
    axis.axhline(effect, color=INK, linestyle=":", linewidth=1.2)
    sizes: set[int] = set()
    for ranking, (_, colour, line) in drawn.rankings.items():
        label = f"{ranking} {readout}" if ranking.endswith(",") else ranking
        rows = table[table["ranking"] == label].sort_values("size")
        sizes |= set(rows["size"])
        value, low, high = CHANGE
        axis.plot(rows["size"], rows[value], color=colour, linestyle=line)
        axis.fill_between(rows["size"], rows[low], rows[high], color=colour, alpha=0.15, linewidth=0)
    for whole, (colour, line) in WHOLES.items():
        for height in table.loc[table["ranking"] == whole, "change"]:
            axis.axhline(height, color=colour, linestyle=line, linewidth=1.2)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(sizes), [str(size) for size in sorted(sizes)])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("latents moved together")
    axis.set_ylabel("mean change of the read-out (nats)")
    axis.grid(axis="y")


@styled
def substitution_map_figure(table: DataFrame, *, question: str = "") -> Figure:
    """Mean effect of every substitution by its place in the motif, and of like substitutions elsewhere.

    table: columns kind (site, control), offset, motif_mutant (base on the motif's strand) and the measures. Cells that
    no kept substitution fills are crossed.
    """
    title = about(question, "what single-base substitutions do, by place in the motif")
    if table.empty:
        return nothing_measured(title)
    width = int(table["offset"].max()) + 1
    grid = panel_grid(title, len(MEASURES), max(4.2, 0.22 * width), 1.7, columns=2)
    edges = np.stack([np.arange(width) - 0.5, np.arange(width) + 0.5], axis=1)
    for (measure, (name, unit)), axis in zip(MEASURES.items(), grid.panels, strict=True):
        values = by_place(table, measure, width)
        cells = draw_cells(axis, edges, values, colours_around(values, 0))
        axis.axhline(len(BASES) - 0.5, color=INK, linewidth=0.8)
        axis.set_yticks(range(len(BASES) + 1), [*BASES, "elsewhere"])
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        heading(axis, name)
        bar = grid.figure.colorbar(cells, ax=axis, pad=0.02, aspect=12, label=unit)
        bar.outline.set_visible(False)
    for axis in grid.bottom():
        axis.set_xlabel("position in the motif (bp)")
    for axis in grid.left():
        axis.set_ylabel("to base")
    return grid.figure


def by_place(
    table: DataFrame, measure: str, width: int, statistic: Literal["mean", "count"] = "mean"
) -> Float[ndarray, "row place"]:
    """A measure of all substitutions of a cell: their mean, or their `count`.

    Rows: the four bases at sites, then the controls; columns: places in the motif. NaN where there is none.
    """
    at_sites = table[table["kind"] == "site"].pivot_table(
        index="motif_mutant", columns="offset", values=measure, aggfunc=statistic
    )
    elsewhere = table[table["kind"] == "control"].groupby("offset")[measure].agg(statistic)
    places = range(width)
    rows = at_sites.reindex(index=list(BASES), columns=places).to_numpy(dtype=float)
    return np.vstack([rows, elsewhere.reindex(places).to_numpy(dtype=float)])
