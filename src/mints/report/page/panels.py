"""Figures of several panels one above the other on one axis, which stay readable on a narrow screen."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from mints.report.page.marks import Shape, Trace, horizontal

GAP = 0.07
DIVERGING = ((0, "#a6611a"), (0.25, "#dfc27d"), (0.5, "#f5f5f5"), (0.75, "#80cdc1"), (1, "#018571"))
SEQUENTIAL = ((0, "#f4f8fb"), (0.5, "#0072b2"), (1, "#06263a"))
TAIL = 1.0
"""Percent of cells at either end that the colours do not tell apart, so that a few do not pale the rest."""


class Panel(NamedTuple):
    """One panel: its traces, the label of its y axis, and horizontal lines of reference."""

    traces: Sequence[Trace]
    label: str
    lines: Sequence[float] = ()
    limits: tuple[float, float] | None = None


def stacked(panels: Sequence[Panel], xaxis: Mapping[str, Any], height: int) -> tuple[list[Trace], dict[str, Any]]:
    """Traces and layout of the panels, the first on top, all on one x axis. height: of the whole figure, in pixels."""
    share = (1 - GAP * (len(panels) - 1)) / len(panels)
    traces: list[Trace] = []
    shapes: list[Shape] = []
    layout: dict[str, Any] = {"xaxis": {**xaxis, "anchor": axis_name(len(panels) - 1)}, "legend": legend_below(height)}
    for index, panel in enumerate(panels):
        top = 1 - index * (share + GAP)
        axis: dict[str, Any] = {"title": {"text": panel.label}, "domain": [max(0.0, top - share), top]}
        if panel.limits is not None:
            axis["range"] = list(panel.limits)
        layout[f"yaxis{index + 1 if index else ''}"] = axis
        traces += [{**trace, "yaxis": axis_name(index)} for trace in panel.traces]
        shapes += [horizontal(value, axis_name(index)) for value in panel.lines]
    return traces, layout | {"shapes": shapes}


def axis_name(index: int) -> str:
    """Name of a panel's y axis, as traces and shapes refer to it."""
    return f"y{index + 1 if index else ''}"


def band(low: float, high: float, *, colour: str = "@orange", opacity: float = 0.18) -> Shape:
    """A stretch of the x axis, shaded from bottom to top."""
    ends = {"x0": low, "x1": high, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "rect", **ends, "fillcolor": colour, "opacity": opacity, "line": {"width": 0}, "layer": "below"}


def reach(values: Float[ndarray, "..."], centre: float) -> dict[str, float]:
    """Ends of a colour scale around its middle."""
    there = np.abs(values[np.isfinite(values)] - centre)
    limit = float(np.percentile(there, 100 - TAIL)) if len(there) else 1.0
    limit = limit or 1.0
    return {"zmin": centre - limit, "zmax": centre + limit}


def literal(text: object) -> str:
    """Text as Plotly shows it letter by letter: it reads some markup in labels."""
    return html.escape(str(text), quote=False)


def broken(text: str) -> str:
    """A label on two lines, where it has a place to break: before one of its small words."""
    return re.sub(r" (?=(?:of|at|from) )", "<br>", text, count=1)


def capital(text: str) -> str:
    """The text with a capital letter at its beginning and the rest as it is."""
    return text[:1].upper() + text[1:]


def legend_below(height: int) -> dict[str, Any]:
    """A legend below the x axis's title, whatever the figure's height."""
    return {"y": -64 / max(height - 64, 64)}
