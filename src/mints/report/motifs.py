"""Figure of the motifs in question: what they look like, and where their sites lie."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from logomaker.src.Logo import Logo
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray
from pandas import DataFrame

from mints.report.style import BLUE, QUIET, heading, legend_below, nothing_measured, panel_grid, point_mark, styled

TITLE = "Motifs in question, and where their sites lie"
BINS = 40


@styled
def motif_support_figure(motifs: Mapping[str, tuple[Float[ndarray, "position base"], DataFrame]]) -> Figure:
    """Per question the sequence logo and, below it, sites by place in the sequence, positives against negatives.

    motifs: base probabilities, and a table of sites with columns label, length, start, end.
    """
    if not motifs:
        return nothing_measured(TITLE)
    grid = panel_grid(TITLE, 2 * len(motifs), 3.8, 1.5, columns=2)
    panels = iter(grid.panels)
    for name, (probabilities, found) in motifs.items():
        _logo(next(panels), name, probabilities)
        _places(next(panels), name, found)
    legend_below(grid.figure, [point_mark("positives", BLUE, "s"), point_mark("negatives", QUIET, "s")], columns=2)
    return grid.figure


def _logo(axis: Axes, name: str, probabilities: Float[ndarray, "position base"]) -> None:
    information = (probabilities * np.log2(4 * probabilities)).sum(1, keepdims=True)
    Logo(DataFrame(probabilities * information, columns=list("ACGT")), ax=axis, color_scheme="colorblind_safe")
    heading(axis, name.replace("_", " "))
    axis.set_ylabel("bits")
    axis.set_ylim(0, 2)
    axis.set_xlabel("position in the motif (bp)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _places(axis: Axes, name: str, found: DataFrame) -> None:
    middle = (found["start"] + found["end"]) / 2 - found["length"] / 2
    heading(axis, f"sites of {name.replace('_', ' ')}", f"{len(found):,} sites")
    reach = float(found["length"].max()) / 2 if len(found) else 1.0
    edges = np.linspace(-reach, reach, BINS + 1).tolist()
    for label, colour in ((0, QUIET), (1, BLUE)):
        axis.hist(middle[found["label"] == label], bins=edges, color=colour, alpha=0.8)
    axis.set_xlabel("distance from the middle of the sequence (bp)")
    axis.set_ylabel("sites")
