"""Figures of training: the loss of masked-language models, and of basecallers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pandas import DataFrame

from mints.report.style import BLUE, VERMILLION, nothing_measured, panel_grid, styled


@styled
def training_curve_figure(table: DataFrame) -> Figure:
    """Training and held-out loss against steps, with tokens on the upper axis.

    table: columns step, tokens, train_loss, heldout_loss (nats per hidden token).
    """
    title = "Pretraining: masked-token loss"
    if table.empty:
        return nothing_measured(title)
    grid = panel_grid(title, 1, 5.4, 2.8)
    labels = "training (80/10/10 masking)", "held out (all chosen tokens hidden)"
    draw_curves(grid.panels[0], table, labels, "loss (nats per hidden token)", seen="tokens")
    return grid.figure


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
    labels = "training (mean since the point before)", "held-out chunks"
    draw_curves(axis, table, labels, "loss (nats per base)", seen="bases")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    return grid.figure


def draw_curves(axis: Axes, table: DataFrame, labels: tuple[str, str], loss: str, *, seen: str) -> None:
    """Both losses against steps. labels: of training and held out; seen: column of what the upper axis counts."""
    axis.plot(table["step"], table["train_loss"], color=VERMILLION, label=labels[0])
    axis.plot(table["step"], table["heldout_loss"], "o-", color=BLUE, markersize=3, label=labels[1])
    axis.set_xlabel("step")
    axis.set_ylabel(loss)
    axis.set_xlim(left=0)
    axis.grid(axis="y")
    axis.legend(loc="upper right")
    per_step = float(table[seen].iloc[-1] / table["step"].iloc[-1]) / 1e6
    above = axis.secondary_xaxis(
        "top", functions=(lambda x: np.multiply(x, per_step), lambda x: np.divide(x, per_step))
    )
    above.set_xlabel(f"{seen} seen (million)")
