"""Marks that several views draw with: estimates with intervals, curves with bands, and lines of reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

LEGIBLE = {"least": 600}
"""`meta` of a layout whose labels are long: pixels below which the figure scrolls instead of being squeezed."""

Trace = dict[str, Any]
Shape = dict[str, Any]


class Estimates(NamedTuple):
    """Columns of a table that hold an estimate and its interval."""

    value: str
    low: str
    high: str

    @classmethod
    def of(cls, value: str) -> Estimates:
        """The estimate `value` with `value_low` and `value_high`."""
        return cls(value, f"{value}_low", f"{value}_high")


def rows_with_intervals(
    table: pd.DataFrame, labels: Sequence[str], columns: Estimates, *, name: str, colour: str, symbol: str = "circle"
) -> Trace:
    """Points with horizontal intervals, a row per label."""
    value, low, high = (table[column] for column in columns)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": value.tolist(),
        "y": list(labels),
        "error_x": _bars(value, low, high, colour),
        "marker": {"color": colour, "symbol": symbol, "size": 9},
        "hovertemplate": "%{y}<br>%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
        "customdata": pd.DataFrame({"low": low, "high": high}).to_numpy().tolist(),
    }


COLOURS = ("@blue", "@orange", "@green", "@purple", "@vermillion")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")


def dodged(
    rows: pd.DataFrame,
    labels: str,
    groups: Sequence[str],
    by: str,
    columns: Estimates,
    colours: Sequence[str] = COLOURS,
) -> tuple[list[Trace], dict[str, Any]]:
    """Points with intervals of several groups per label, one above the other: traces, and the axis with the labels.

    labels, by: columns of the label and of the group; the groups' rows need not have every label.
    """
    names = list(dict.fromkeys(rows[labels]))
    traces = []
    for place, group in enumerate(groups):
        of_group = rows[rows[by] == group]
        value, low, high = (of_group[column] for column in columns)
        colour = colours[place % len(colours)]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": str(group),
                "x": value.tolist(),
                "y": [names.index(name) + 0.2 * (place - (len(groups) - 1) / 2) for name in of_group[labels]],
                "error_x": _bars(value, low, high, colour),
                "marker": {"color": colour, "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 9},
                "text": of_group[labels].astype(str).tolist(),
                "customdata": pd.DataFrame({"low": low, "high": high}).to_numpy().tolist(),
                "hovertemplate": "%{text}<br>%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
            }
        )
    ticks = [str(name) for name in names]
    return traces, {"tickvals": list(range(len(names))), "ticktext": ticks, "range": [len(names) - 0.5, -0.5]}


def curve_with_intervals(
    table: pd.DataFrame, x: str, columns: Estimates, *, name: str, colour: str, dash: str = "solid"
) -> Trace:
    """Points joined by a line, with vertical intervals."""
    value, low, high = (table[column] for column in columns)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": table[x].tolist(),
        "y": value.tolist(),
        "error_y": _bars(value, low, high, colour),
        "line": {"color": colour, "dash": dash},
        "marker": {"color": colour, "size": 7},
    }


def _bars(value: pd.Series, low: pd.Series, high: pd.Series, colour: str) -> Mapping[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": (high - value).tolist(),
        "arrayminus": (value - low).tolist(),
        "color": colour,
        "thickness": 1.4,
        "width": 3,
    }


def vertical(x: float, *, colour: str = "@quiet", dash: str = "dot") -> Shape:
    """A line of reference from bottom to top."""
    line = {"color": colour, "dash": dash, "width": 1.2}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line, "layer": "below"}


def horizontal(y: float, axis: str = "y", *, colour: str = "@quiet", dash: str = "dot") -> Shape:
    """A line of reference from left to right. axis: name of the y axis that it belongs to."""
    line = {"color": colour, "dash": dash, "width": 1.2}
    ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "yref": axis}
    return {"type": "line", **ends, "line": line, "layer": "below"}


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """An estimate with its interval, as text."""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def named(name: str) -> str:
    """A name of the configuration as a reader writes it."""
    return name.replace("_", " ")
