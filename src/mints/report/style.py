"""How every figure looks: colours that colour-blind readers can tell apart, sizes, and grids of small panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType, RcKeyType

# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
BLUE, VERMILLION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
INK, QUIET, FAINT = "#222222", "#6B6B6B", "#DDDDDD"

STYLE: dict[RcKeyType, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
}

MOST_COLUMNS = 3
LEAST_WIDTH = 4.8
"""Inches that a title needs."""

SMALL = 8

Parameters = ParamSpec("Parameters")


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Draw with the house style, and leave matplotlib's own settings as they were."""

    @wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # what the reader's own matplotlibrc says must not change the figures
            matplotlib.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return drawn


class Grid(NamedTuple):
    """A figure of equal panels, row by row."""

    figure: Figure
    panels: list[Axes]
    columns: int

    def left(self) -> list[Axes]:
        """First panel of each row."""
        return self.panels[:: self.columns]

    def bottom(self) -> list[Axes]:
        """Panels with no panel below them."""
        return self.panels[-self.columns :]


def panel_grid(
    title: str, panels: int, width: float, height: float, margin: float = 0.6, columns: int | None = None
) -> Grid:
    """Grid with room for `panels` panels of about width × height inches and a margin on the left for their labels."""
    columns = columns or (2 if panels == 4 else min(panels, MOST_COLUMNS))
    rows = -(-panels // columns)
    spacing = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.04)
    figure = Figure(figsize=(max(columns * width + margin, LEAST_WIDTH), rows * height + 1.0), layout=spacing)
    figure.suptitle(title, x=0.01, horizontalalignment="left")
    return Grid(figure, [figure.add_subplot(rows, columns, index + 1) for index in range(panels)], columns)


def heading(axis: Axes, title: str, detail: str = "") -> None:
    """Title of a panel with a quieter line below it."""
    axis.set_title(title, pad=16 if detail else 6)
    if detail:
        axis.annotate(
            detail, (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points", color=QUIET, size=SMALL
        )


def about(question: str, title: str) -> str:
    """The title, with what was asked before it."""
    return f"{question}: {title}" if question else title


def nothing_measured(title: str) -> Figure:
    """A figure that says that there is nothing to show."""
    grid = panel_grid(title, 1, 4.5, 1.0)
    grid.panels[0].set_axis_off()
    grid.panels[0].text(0.5, 0.5, "not measured in this run", color=QUIET, ha="center", va="center")
    return grid.figure


def point_mark(label: str, colour: str, marker: str, *, hollow: bool = False) -> Line2D:
    """Entry of a legend: a marker."""
    return Line2D([], [], color=colour, marker=marker, label=label, markerfacecolor="white" if hollow else colour)


def line_mark(label: str, colour: str, line: LineStyleType) -> Line2D:
    """Entry of a legend: a thin line."""
    return Line2D([], [], color=colour, linestyle=line, linewidth=1, label=label)


def legend_below(figure: Figure, handles: Sequence[Line2D], columns: int) -> None:
    """One legend for all panels, below them."""
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
