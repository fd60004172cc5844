"""Figure of the corpus audit: how long and how similar the alignments are, and what counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from pandas import DataFrame

from mints.report.style import (
    BLUE,
    INK,
    VERMILLION,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

QUERY, SHUFFLED = "query", "shuffled"
"""Kinds of sequences that are searched."""

TITLE = "Corpus audit"


@styled
def corpus_audit_figure(hits: DataFrame, summary: Mapping[str, Any]) -> Figure:
    """Identity against aligned bases of every alignment, of queries and of shuffled ones, with the thresholds.

    hits: columns sequence (`QUERY` or `SHUFFLED`), identity, q_start, q_end, passes. summary: the step's, which says
    that nothing was searched where nothing was.
    """
    if not summary["searched"]:
        return nothing_measured(TITLE)
    grid = panel_grid(TITLE, 1, 5.5, 3.2)
    (axis,) = grid.panels
    found, control, thresholds = (_plain(summary[name]) for name in ("found", "shuffled_found", "thresholds"))
    heading(axis, _said("queries found", found), _said("shuffled queries found", control))
    for kind, colour, marker in ((QUERY, BLUE, "o"), (SHUFFLED, VERMILLION, "X")):
        for passes in (False, True):
            rows = hits[(hits["sequence"] == kind) & (hits["passes"].astype(bool) == passes)]
            axis.plot(
                (rows["q_end"] - rows["q_start"]).to_numpy(dtype=float),
                100 * rows["identity"].to_numpy(dtype=float),
                marker,
                color=colour,
                markerfacecolor=colour if passes else "white",
                alpha=0.8,
            )
    axis.axhline(100 * thresholds["identity"], color=INK, linewidth=0.8, linestyle="--")
    axis.axvline(thresholds["length"], color=INK, linewidth=0.8, linestyle="--")
    axis.set_xscale("log")
    longest = max([2 * thresholds["length"], *(hits["q_end"] - hits["q_start"])])
    axis.set_xlim(10, 1.4 * longest)
    axis.set_xlabel("aligned bases of the query")
    axis.set_ylabel("identity (%)")
    axis.grid()
    counts = {kind: int((hits["sequence"] == kind).sum()) for kind in (QUERY, SHUFFLED)}
    marks = [
        point_mark(f"queries: {counts[QUERY]} alignments", BLUE, "o"),
        point_mark(f"shuffled: {counts[SHUFFLED]}", VERMILLION, "X"),
        point_mark("does not count", BLUE, "o", hollow=True),
        line_mark("least that counts", INK, "--"),
    ]
    legend_below(grid.figure, marks, 2)
    return grid.figure


def _said(what: str, share: Mapping[str, Any]) -> str:
    return f"{what}: {share['found']} of {share['queries']} [{share['low']:.2f}, {share['high']:.2f}]"


def _plain(value: Any) -> Mapping[str, Any]:
    """A named tuple, or the object that it is once it was saved."""
    plain: Mapping[str, Any] = value._asdict() if hasattr(value, "_asdict") else value
    return plain
