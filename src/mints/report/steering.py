"""Figure of steering: what a dose of a latent does to the target and to other tokens, against its nulls."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from pandas import DataFrame

from mints.report.style import (
    BLUE,
    GREEN,
    ORANGE,
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

LINES = {
    ("hidden", "target_log_odds"): ("target's log-odds, steered at the hidden token", BLUE, "-", "o"),
    ("neighbours", "target_log_odds"): ("the same, steered at its neighbours", GREEN, "-.", "^"),
    ("far", "target_log_odds"): ("the same, steered far away", QUIET, ":", "s"),
    ("hidden", "off_target_log_p"): ("other tokens' mean log-probability", VERMILLION, "--", "D"),
}
"""Label, colour, line and marker of each curve."""

BANDS = {"directions": ("random directions of equal length", QUIET), "latents": ("latents that fire as often", ORANGE)}
"""Label and colour of each null of the target's log-odds."""


@styled
def steering_figure(table: DataFrame, *, question: str = "", level: float = 0.95) -> Figure:
    """Dose–response of amounts that are added, one panel per latent: target and other tokens, against two nulls.

    table: columns site, latent, chosen_by, position, kind, dose, measure, effect, low, high, sites, and low and high of
    each null.
    """
    title = about(question, f"Steered latents, {100 * level:g}% intervals")
    if table.empty:
        return nothing_measured(title)
    added = table[table["kind"] == "add"]
    groups = list(added.groupby(["site", "chosen_by", "latent"], sort=False))
    columns = 4 if len(groups) % 4 == 0 else None
    grid = panel_grid(title, len(groups), 2.9 if len(groups) > 1 else 4.0, 2.5, columns=columns)
    for axis, ((site, chosen_by, latent), rows) in zip(grid.panels, groups, strict=True):
        heading(axis, f"latent {latent}, {chosen_by}", f"{site}, {rows['sites'].max()} sites")
        _draw_latent(axis, rows)
    for axis in grid.left():
        axis.set_ylabel("change (nats)")
    for axis in grid.bottom():
        axis.set_xlabel("dose (99th percentiles of the latent)")
    marks = [point_mark(label, colour, marker) for label, colour, _, marker in LINES.values()]
    bands = [Patch(facecolor=colour, alpha=0.3, label=f"null: {label}") for label, colour in BANDS.values()]
    natural = line_mark("end of the latent's natural range", QUIET, "--")
    handles: list[Any] = [*marks, natural, *bands]
    legend_below(grid.figure, handles, columns=min(len(grid.panels), 3))
    return grid.figure


def _draw_latent(axis: Axes, rows: DataFrame) -> None:
    axis.axhline(0, color=QUIET, linewidth=0.8)
    axis.axvline(1, color=QUIET, linewidth=0.8, linestyle="--")
    judged = rows[(rows["position"] == "hidden") & (rows["measure"] == "target_log_odds")].sort_values("dose")
    for null, (_, colour) in BANDS.items():
        axis.fill_between(judged["dose"], judged[f"{null}_low"], judged[f"{null}_high"], color=colour, alpha=0.3, lw=0)
    for (position, measure), (_, colour, line, marker) in LINES.items():
        curve = rows[(rows["position"] == position) & (rows["measure"] == measure)].sort_values("dose")
        axis.vlines(curve["dose"], curve["low"], curve["high"], color=colour, linewidth=1)
        axis.plot(curve["dose"], curve["effect"], color=colour, linestyle=line, marker=marker, markersize=3.5)
    axis.grid(axis="y")
