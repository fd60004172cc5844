"""Figures of the heads' circuits: their spectra, and where OV meets a probe's direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame, Series

from mints.report.heat import AROUND
from mints.report.style import (
    BLUE,
    FAINT,
    INK,
    QUIET,
    SMALL,
    VERMILLION,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

SIGNIFICANT = 0.05
"""q-value up to which a head is drawn filled."""

MOST_NUMBERED = 6
"""Layers and heads up to which a map carries its numbers."""

SIZES = LinearSegmentedColormap.from_list("sizes", ["#F4F8FB", BLUE, "#06263A"]).with_extremes(bad=FAINT)


class HeadMap(NamedTuple):
    """A figure of every head, drawn as colours on layers by heads."""

    column: str
    title: str
    detail: str
    colours: Colormap
    low: float
    high: float | None
    """Ends of the colour scale; None: the largest value."""

    numbers: str
    """Format of the numbers in the cells of a small map."""


HEAD_MAPS = (
    HeadMap("qk_spectral_norm", "QK spectral norm", "largest singular value", SIZES, 0, None, "z.2f"),
    HeadMap("qk_effective_rank", "QK effective rank", "directions in use", SIZES, 0, None, "z.1f"),
    HeadMap("qk_symmetry", "QK symmetry", "1 symmetric, -1 antisymmetric", AROUND, -1, 1, "z.2f"),
    HeadMap("ov_spectral_norm", "OV spectral norm", "largest singular value", SIZES, 0, None, "z.2f"),
    HeadMap("ov_effective_rank", "OV effective rank", "directions in use", SIZES, 0, None, "z.1f"),
    HeadMap("copying_score", "OV copying score", "share of positive eigenvalues", AROUND, 0, 1, "z.2f"),
)


class Statistic(NamedTuple):
    """A column of the OV readout audit and its name on an axis."""

    column: str
    label: str


STATISTICS = (
    Statistic("write_cosine", "top write |cosine|"),
    Statistic("read_cosine", "top read |cosine|"),
    Statistic("self_gain", "self-gain"),
)


@styled
def circuit_spectra_figure(table: DataFrame) -> Figure:
    """Norm, effective rank and symmetry or copying of every head's QK and OV circuit, on layers by heads.

    table: one row per head with columns layer, head, qk_form, alibi_slope and those of `HEAD_MAPS`.
    """
    title = "Circuits of every head"
    if table.empty:
        return nothing_measured(title)
    layers = table["layer"].nunique()
    grid = panel_grid(title, len(HEAD_MAPS), 2.7, float(np.clip(0.12 * layers + 0.9, 2.1, 4.5)))
    for shown, axis in zip(HEAD_MAPS, grid.panels, strict=True):
        heading(axis, shown.title, shown.detail)
        _draw_map(axis, table.pivot(index="layer", columns="head", values=shown.column), shown)
    for axis in grid.left():
        axis.set_ylabel("layer")
    for axis in grid.bottom():
        axis.set_xlabel("head")
    note = str(table["qk_form"].iloc[0])
    grid.figure.supxlabel(note, x=0.01, horizontalalignment="left", color=QUIET, size=SMALL)
    return grid.figure


@styled
def ov_readout_figure(table: DataFrame) -> Figure:
    """Every head's OV circuit against the probe's direction, one row of panels per task, with each head's null.

    table: one row per task and head with columns task, layer, head, probe_layer and, for write_cosine, read_cosine and
    self_gain, the value and its _null_low, _null_high, _p and _q.
    """
    title = "OV readout audit: does a head write or read along the probe's direction?"
    if table.empty:
        return nothing_measured(title)
    tasks = list(table["task"].unique())
    grid = panel_grid(title, len(tasks) * len(STATISTICS), 3.0, 2.0)
    for index, axis in enumerate(grid.panels):
        task, statistic = tasks[index // len(STATISTICS)], STATISTICS[index % len(STATISTICS)]
        rows = table[table["task"] == task].sort_values(["layer", "head"])
        probe_layer = int(rows["probe_layer"].iloc[0])
        if index % len(STATISTICS) == 0:
            heading(axis, _plain(task), f"probe at layer {probe_layer}")
        _draw_heads(axis, rows, statistic)
        if probe_layer < rows["layer"].max():
            axis.axvline(probe_layer + 0.5, color=VERMILLION, linestyle="--", linewidth=1)
        axis.set_ylabel(statistic.label)
    for axis in grid.bottom():
        axis.set_xlabel("layer (heads side by side)")
    marks = [
        _dot(f"head, q ≤ {SIGNIFICANT:g}", BLUE, "o"),
        _dot(f"head, q > {SIGNIFICANT:g}", QUIET, "o", hollow=True),
        Line2D([], [], color=FAINT, linewidth=5, label="95% of random directions"),
    ]
    if not table["at_or_below_probe"].all():
        marks.append(line_mark("heads to the right lie above the probe", VERMILLION, "--"))
    legend_below(grid.figure, marks, columns=4)
    return grid.figure


@styled
def ov_alignment_figure(table: DataFrame, head: Series) -> Figure:
    """The strongest singular vectors of one head's OV circuit against a probe's direction.

    table: one row per vector with columns vector, singular_value, write_cosine, read_cosine, self_gain_part,
    null_cosine and null_top_cosine. head: this head's row of the audit.
    """
    place = f"layer {head['layer']}, head {head['head']}"
    title = f"OV of {place} against the probe of {_plain(head['task'])} at layer {head['probe_layer']}"
    grid = panel_grid(title, 3, 3.5, 2.6)
    cosines, values, gains = grid.panels
    heading(cosines, "Cosine with the probe", _tests(head, {"top write": "write_cosine", "read": "read_cosine"}))
    for column, colour, marker, shift in (("write_cosine", BLUE, "o", -0.15), ("read_cosine", VERMILLION, "D", 0.15)):
        beside = table["vector"] + shift
        cosines.vlines(beside, 0, table[column], color=colour, linewidth=1)
        cosines.plot(beside, table[column], marker, color=colour, markersize=3.5)
    for null, line in (("null_cosine", ":"), ("null_top_cosine", "--")):
        for sign in (-1, 1):
            cosines.axhline(sign * table[null].iloc[0], color=QUIET, linestyle=line, linewidth=0.9)
    reach = 1.12 * max(table[["write_cosine", "read_cosine"]].abs().to_numpy().max(), table["null_top_cosine"].iloc[0])
    cosines.set_ylim(-reach, reach)
    heading(values, "Singular value", f"spectral norm {head['spectral_norm']:.3g}")
    values.bar(table["vector"], table["singular_value"], color=BLUE, width=0.7)
    heading(gains, "Part in the self-gain", _tests(head, {"self-gain": "self_gain"}))
    gains.bar(table["vector"], table["self_gain_part"], color=BLUE, width=0.7)
    for axis in (cosines, gains):
        axis.axhline(0, color=INK, linewidth=0.8)
    for axis in grid.panels:
        axis.set_xlabel("singular vector")
        axis.set_xlim(0.3, len(table) + 0.7)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
        axis.grid(axis="y")
    marks = [
        _dot("write side", BLUE, "o"),
        _dot("read side", VERMILLION, "D"),
        line_mark("95% of one random vector", QUIET, ":"),
        line_mark("95% of the largest of all vectors", QUIET, "--"),
    ]
    legend_below(grid.figure, marks, columns=4)
    return grid.figure


def _draw_heads(axis: Axes, rows: DataFrame, statistic: Statistic) -> None:
    """Every head of a task: null interval, value, and the name of the clearest one."""
    heads = int(rows["head"].max()) + 1
    place = rows["layer"] + (rows["head"] - (heads - 1) / 2) * 0.8 / heads
    column = statistic.column
    low, high, value = rows[f"{column}_null_low"], rows[f"{column}_null_high"], rows[column]
    found = rows[f"{column}_q"] <= SIGNIFICANT
    size = float(np.clip(24 / np.sqrt(len(rows)), 1.6, 4.5))
    axis.vlines(place, low, high, color=FAINT, linewidth=size)
    axis.plot(place[~found], value[~found], "o", color=QUIET, markerfacecolor="white", markersize=size, linewidth=0)
    axis.plot(place[found], value[found], "o", color=BLUE, markersize=max(size, 3.5))
    if found.any():
        ranked = rows[found].assign(size=value.abs()).sort_values([f"{column}_p", "size"], ascending=[True, False])
        best = ranked.index[0]
        axis.annotate(
            f"L{rows.loc[best, 'layer']}H{rows.loc[best, 'head']}",
            (place[best], value[best]),
            xytext=(0, 5),
            textcoords="offset points",
            horizontalalignment="center",
            size=SMALL,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axis.margins(x=0.03, y=0.22)
    axis.grid(axis="y")


def _draw_map(axis: Axes, values: DataFrame, shown: HeadMap) -> None:
    """Layers downwards, heads to the right, a colour bar; with numbers where they can be read."""
    image = axis.imshow(
        values.to_numpy(dtype=float),
        cmap=shown.colours,
        vmin=shown.low,
        vmax=shown.high,
        aspect="auto",
        interpolation="nearest",
    )
    if max(values.shape) <= MOST_NUMBERED:
        for (row, column), value in np.ndenumerate(values.to_numpy(dtype=float)):
            red, green, blue, _ = image.to_rgba(value)
            light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
            text = "n/a" if np.isnan(value) else format(value, shown.numbers)
            axis.text(column, row, text, color=INK if light else "white", size=SMALL, ha="center", va="center")
    bar = axis.figure.colorbar(image, ax=axis, pad=0.02, aspect=24)
    bar.outline.set_visible(False)
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _tests(head: Series, columns: Mapping[str, str]) -> str:
    """The head's values of these statistics (name to column of the audit), with their p-values."""
    return "; ".join(f"{name} {head[column]:.3f}, p = {head[f'{column}_p']:.2g}" for name, column in columns.items())


def _dot(label: str, colour: str, marker: str, *, hollow: bool = False) -> Line2D:
    """Entry of a legend: a marker without a line."""
    mark = point_mark(label, colour, marker, hollow=hollow)
    mark.set_linestyle("none")
    return mark


def _plain(name: object) -> str:
    return str(name).replace("_", " ")
