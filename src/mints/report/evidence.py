"""Figure of the evidence stack: every head's alignment, enrichment and restoration beside its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from mints.report.forest import Estimates, Group, forest
from mints.report.heat import head_name, mark_ratios
from mints.report.style import (
    BLUE,
    INK,
    ORANGE,
    QUIET,
    SMALL,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

MOST_HEADS = 30
"""Heads that get a row of their own."""


class Criterion(NamedTuple):
    """What a panel shows, and its names."""

    value: str
    """Column of the value; the interval's columns and the threshold's key follow from it."""

    passes: str
    title: str
    label: str
    no_effect: float


CRITERIA = (
    Criterion("r", "aligned", "QK alignment", "Pearson r", 0),
    Criterion("rho", "enriched", "Attention enrichment", "ρ (motif over background)", 1),
    Criterion("pm", "restored", "Causal restoration", "restoration (PM)", 0),
)


@styled
def evidence_figure(table: DataFrame, thresholds: Mapping[str, float], *, level: float = 0.95) -> Figure:
    """Forest plot of the strongest heads of one question, a panel per criterion, the verdicts at the right edge.

    table: one row per head with columns question, layer, head, verdict, for r, rho and pm the value with its _low and
    _high, the ceiling of r, and whether the head is aligned, enriched and restored. thresholds: the registered ones of
    r, rho and pm. Heads beyond `MOST_HEADS` are summed up in a line. Raises ValueError for more than one question.
    """
    if table.empty:
        return nothing_measured("Evidence for motif detectors")
    (question,) = table["question"].unique()
    ranked = rank_heads(table)
    shown, rest = ranked.iloc[:MOST_HEADS], ranked.iloc[MOST_HEADS:]
    title = f"Evidence for detectors of {str(question).replace('_', ' ')}: heads, {100 * level:g}% intervals"
    verdicts = shown["verdict"].astype(object).fillna("").to_list()
    margin = 1.1 + 0.06 * max(map(len, verdicts))
    grid = panel_grid(title, len(CRITERIA), 2.4, 0.19 * len(shown) + 0.8, margin=margin)
    for criterion, axis in zip(CRITERIA, grid.panels, strict=True):
        threshold = thresholds[criterion.value]
        passing = table[criterion.passes].eq(True).sum()
        heading(axis, criterion.title, f"{passing} of {len(table)} heads pass; registered {threshold:g}")
        _draw_criterion(axis, shown, criterion, threshold)
    alignment, enrichment, restoration = grid.panels
    for axis in (enrichment, restoration):
        axis.set_yticklabels([])
    alignment.plot(shown["ceiling"], range(len(shown)), "|", color=ORANGE, markersize=9, markeredgewidth=2)
    _write_verdicts(restoration, verdicts)
    marks = [
        point_mark("passes", BLUE, "o"),
        point_mark("does not pass", BLUE, "o", hollow=True),
        point_mark("ceiling of the layer", ORANGE, "|"),
        line_mark("registered threshold", INK, "--"),
        line_mark("no effect", QUIET, ":"),
    ]
    legend_below(grid.figure, marks, columns=5)
    if len(rest):
        grid.figure.legends[0].set_title(_summary(rest), FontProperties(size=SMALL))
    return grid.figure


def rank_heads(table: DataFrame) -> DataFrame:
    """The heads by number of criteria `passed`, then by restoration, then by place; unmeasured restoration last."""
    passed = sum(table[criterion.passes].eq(True).astype(int) for criterion in CRITERIA)
    order = ["passed", "pm", "layer", "head"]
    return table.assign(passed=passed).sort_values(order, ascending=[False, False, True, True], ignore_index=True)


def _draw_criterion(axis: Axes, shown: DataFrame, criterion: Criterion, threshold: float) -> None:
    name = criterion.value
    axis.axvline(criterion.no_effect, color=QUIET, linestyle=":", linewidth=1)
    axis.axvline(threshold, color=INK, linestyle="--", linewidth=1)
    labels = [head_name(*head) for head in zip(shown["layer"], shown["head"], strict=True)]
    tiers = [Group(str(count), BLUE, "o") for count in shown["passed"]]
    forest(axis, labels, tiers, Estimates.of(shown, name, f"{name}_low", f"{name}_high"))
    failing = np.flatnonzero(~shown[criterion.passes].eq(True))
    axis.plot(shown[name].iloc[failing], failing, "o", color=BLUE, markerfacecolor="white")
    axis.set_xlabel(criterion.label)
    if criterion.no_effect == 1:
        axis.set_xscale("log", base=2)
        mark_ratios(axis.xaxis)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5))


def _write_verdicts(axis: Axes, verdicts: Sequence[str]) -> None:
    """Right of the numbers of the last panel."""
    for row, verdict in [(-1.0, "verdict"), *enumerate(verdicts)]:
        axis.annotate(
            verdict,
            (1, row),
            xytext=(36, 0),
            xycoords=axis.get_yaxis_transform(),
            textcoords="offset points",
            color=QUIET if row < 0 else INK,
            size=SMALL,
            verticalalignment="center_baseline",
            annotation_clip=False,
        )


def _summary(rest: DataFrame) -> str:
    """What the heads without a row of their own have."""
    passed = (
        f"pass at most {most} of {len(CRITERIA)} criteria" if (most := rest["passed"].max()) else "pass no criterion"
    )
    highest = "" if rest["pm"].isna().all() else f" and restore at most {rest['pm'].max():z.2f}"
    return f"{len(rest)} more heads {passed}{highest}"
