"""Figure of a basecaller's training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pandas import DataFrame

from mints.report.style import BLUE, VERMILLION, nothing_measured, panel_grid, styled


@styled
def basecaller_curve_figure(table: DataFrame) -> Figure:
    """Training and held-out loss against steps, with bases on the upper axis.

    table: columns step, bases, train_loss, heldout_loss (nats per base).
    """
    title = "Training: negative log-likelihood of the bases"
    if table.empty:
        return nothing_measured(title)
    grid = panel_grid(title, 1, 5.4, 2.8)
    axis = grid.panels[0]
    axis.plot(table["step"], table["train_loss"], color=VERMILLION, label="training (mean since the point before)")
    axis.plot(table["step"], table["heldout_loss"], "o-", color=BLUE, markersize=3, label="held-out chunks")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("step")
    axis.set_ylabel("loss (nats per base)")
    axis.set_xlim(left=0)
    axis.grid(axis="y")
    axis.legend(loc="upper right")
    per_step = float(table["bases"].iloc[-1] / table["step"].iloc[-1]) / 1e6
    above = axis.secondary_xaxis(
        "top", functions=(lambda x: np.multiply(x, per_step), lambda x: np.divide(x, per_step))
    )
    above.set_xlabel("bases seen (million)")
    return grid.figure
