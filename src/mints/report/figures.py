"""Figures from the tables that the steps save: a DataFrame in, a matplotlib figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from mints.report.forest import Estimates, Group, forest, share_row_labels
from mints.report.style import (
    BLUE,
    GREEN,
    PURPLE,
    QUIET,
    VERMILLION,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

CHANCE = 0.5
LARGEST_MARKER = 90.0
"""Area in points² of the fullest bin of a calibration curve."""

FIFTHS = [0, 0.2, 0.4, 0.6, 0.8, 1.0]

PROBE = Group("probe on the residual stream", BLUE, "o")
FLOOR = Group("floor: no model at all", VERMILLION, "s")
BROKEN = Group("broken on purpose: model, sequence or label", PURPLE, "X")
SHIFTED = Group("other test set or training set", GREEN, "^")

CONTROLS: Mapping[str, tuple[str, Group]] = {
    "residual_probe": ("probe", PROBE),
    "kmer_logistic": ("k-mer counts, logistic (k ≤ 6)", FLOOR),
    "kmer_boosted": ("k-mer counts, boosted trees (k ≤ 4)", FLOOR),
    "gc_content": ("GC content", FLOOR),
    "metadata": ("length and position", FLOOR),
    "random_initialisation": ("probe on an untrained model", BROKEN),
    "shuffled_sequences": ("probe on shuffled sequences", BROKEN),
    "shuffled_test_sequences": ("probe, test sequences shuffled", BROKEN),
    "random_labels": ("probe, random labels", BROKEN),
    "gc_matched_test": ("probe, GC-matched test set", SHIFTED),
    "gc_matched_test_gc_only": ("GC content, GC-matched test set", SHIFTED),
    "low_to_high_gc": ("probe, low GC → high GC", SHIFTED),
    "high_to_low_gc": ("probe, high GC → low GC", SHIFTED),
}
"""Name and group of every control, in the order in which the rows are drawn."""


@styled
def probe_controls_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Forest plot per task: AUROC of the probe and of every control, with intervals.

    table: one row per task and control, with columns task, control, label, layer, n_test, auroc, auroc_low, auroc_high
    and, if known, chosen_on_validation. A control that could not be measured (NaN) keeps its row, as n/a.
    """
    title = f"Probe and controls: test AUROC, {100 * level:g}% intervals"
    if table.empty:
        return nothing_measured(title)
    unknown = [name for name in table["control"].unique() if name not in CONTROLS]
    names = [name for name in CONTROLS if (table["control"] == name).any()] + unknown
    labels = {**dict(zip(table["control"], table["label"], strict=True)), **{n: CONTROLS[n][0] for n in CONTROLS}}
    groups = {name: CONTROLS[name][1] if name in CONTROLS else SHIFTED for name in names}
    floors = best_floors(table)
    tasks = list(table["task"].unique())
    grid = panel_grid(title, len(tasks), 2.7 if len(tasks) > 1 else 3.6, 0.2 * len(names) + 0.75, margin=2.3)
    for task, axis in zip(tasks, grid.panels, strict=True):
        rows = table[table["task"] == task].set_index("control").reindex(names)
        heading(axis, _plain(task), _probe_detail(rows))
        axis.axvline(CHANCE, color=QUIET, linestyle=":", linewidth=1)
        if task in floors:
            axis.axvline(floors[task], color=VERMILLION, linestyle="--", linewidth=1)
        estimates = Estimates.of(rows, "auroc", "auroc_low", "auroc_high")
        forest(axis, [labels[name] for name in names], [groups[name] for name in names], estimates)
        axis.set_xlim(*_auroc_limits(table))
    share_row_labels(grid, "AUROC")
    marks = [point_mark(*group) for group in dict.fromkeys(groups.values())]
    lines = [line_mark("chance", QUIET, ":")]
    if floors:
        lines.append(line_mark("best k-mer floor", VERMILLION, "--"))
    legend_below(grid.figure, [*marks, *lines], columns=2 if grid.columns < 3 else 3)
    return grid.figure


@styled
def probe_layers_figure(table: DataFrame, floors: Mapping[str, float] | None = None, *, level: float = 0.95) -> Figure:
    """AUROC of the probe by layer, one panel per task; the layer chosen on validation is filled.

    table: columns task, layer, chosen, auroc, auroc_low, auroc_high, n_test. floors: AUROC of each task's best k-mer
    floor (see `best_floors`).
    """
    title = f"Probe by layer: test AUROC, {100 * level:g}% intervals"
    if table.empty:
        return nothing_measured(title)
    tasks = list(table["task"].unique())
    grid = panel_grid(title, len(tasks), 2.7 if len(tasks) > 1 else 4.2, 2.2)
    shown = {task: value for task, value in (floors or {}).items() if task in tasks}
    low, high = _auroc_limits(table, list(shown.values()))
    for task, axis in zip(tasks, grid.panels, strict=True):
        rows = table[table["task"] == task].sort_values("layer")
        heading(axis, _plain(task), f"{int(rows['n_test'].iloc[0]):,} test sequences")
        axis.axhline(CHANCE, color=QUIET, linestyle=":", linewidth=1)
        if task in shown:
            axis.axhline(shown[task], color=VERMILLION, linestyle="--", linewidth=1)
        axis.vlines(rows["layer"], rows["auroc_low"], rows["auroc_high"], color=BLUE, linewidth=2)
        axis.plot(rows["layer"], rows["auroc"], "o-", color=BLUE, markerfacecolor="white", markersize=4, linewidth=1)
        chosen = rows[rows["chosen"].eq(True)]
        axis.plot(chosen["layer"], chosen["auroc"], "o", color=BLUE, markersize=5.5)
        axis.set_ylim(low, high)
        axis.margins(x=0.08)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        axis.grid(axis="y")
    for axis in grid.left():
        axis.set_ylabel("AUROC")
    for axis in grid.bottom():
        axis.set_xlabel("layer")
    marks = [
        point_mark("probe", BLUE, "o", hollow=True),
        point_mark("layer chosen on validation", BLUE, "o"),
        line_mark("chance", QUIET, ":"),
    ]
    if shown:
        marks.append(line_mark("best k-mer floor", VERMILLION, "--"))
    legend_below(grid.figure, marks, columns=2 if grid.columns < 2 else 4)
    return grid.figure


@styled
def masked_token_loss_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Loss of the model and of its floors on hidden tokens, one panel per way of masking.

    table: columns masking, predictor, loss, low, high (nats per token) and tokens.
    """
    title = f"Masked-token loss of model and floors, {100 * level:g}% intervals"
    if table.empty:
        return nothing_measured(title)
    maskings = list(table["masking"].unique())
    predictors = list(table["predictor"].unique())
    grid = panel_grid(title, len(maskings), 2.9, 0.24 * len(predictors) + 0.7, margin=1.6)
    for masking, axis in zip(maskings, grid.panels, strict=True):
        rows = table[table["masking"] == masking].set_index("predictor").reindex(predictors)
        heading(axis, masking, f"{int(rows['tokens'].max()):,} hidden tokens, held-out sequence")
        groups = [PROBE if predictor == "model" else FLOOR for predictor in predictors]
        forest(axis, predictors, groups, Estimates.of(rows, "loss", "low", "high"))
        axis.margins(x=0.15)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5))
    share_row_labels(grid, "loss (nats per token; lower is better)")
    return grid.figure


@styled
def reliability_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Calibration of the probes: observed share of positives against the predicted probability, one panel per task.

    table: columns task, bin_low, bin_high, mean_predicted, observed, low, high, n; bins without sequences are left out.
    """
    title = f"Calibration of the probes, {100 * level:g}% intervals"
    filled = table[table["n"] > 0]
    if filled.empty:
        return nothing_measured(title)
    tasks = list(filled["task"].unique())
    grid = panel_grid(title, len(tasks), 2.5, 2.6)
    for task, axis in zip(tasks, grid.panels, strict=True):
        rows = filled[filled["task"] == task].sort_values("bin_low")
        heading(axis, _plain(task), f"{int(rows['n'].sum()):,} sequences; fullest bin {int(rows['n'].max()):,}")
        axis.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1)
        axis.vlines(rows["mean_predicted"], rows["low"], rows["high"], color=BLUE, linewidth=1.2)
        axis.plot(rows["mean_predicted"], rows["observed"], color=BLUE, linewidth=0.8)
        area = LARGEST_MARKER * rows["n"] / rows["n"].max()
        axis.scatter(
            rows["mean_predicted"], rows["observed"], s=area, color=BLUE, edgecolor="white", linewidth=0.6, zorder=3
        )
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=FIFTHS, yticks=FIFTHS)
        axis.grid()
    for axis in grid.left():
        axis.set_ylabel("observed share of positives")
    for axis in grid.bottom():
        axis.set_xlabel("predicted probability")
    marks = [line_mark("perfect calibration", QUIET, ":"), point_mark("bin; area = its sequences", BLUE, "o")]
    legend_below(grid.figure, marks, columns=2)
    return grid.figure


def best_floors(controls: DataFrame) -> dict[str, float]:
    """AUROC of the best k-mer floor of each task: the one chosen on validation, or the higher one if none is marked."""
    floors = controls[controls["control"].isin(["kmer_logistic", "kmer_boosted"]) & controls["auroc"].notna()]
    if "chosen_on_validation" in floors:
        marked = floors["chosen_on_validation"].eq(True)
        floors = floors[marked | ~floors["task"].isin(floors.loc[marked, "task"])]
    return {str(task): float(value) for task, value in floors.groupby("task")["auroc"].max().items()}


def _auroc_limits(table: DataFrame, others: Sequence[float] = ()) -> tuple[float, float]:
    """Limits in steps of 0.05 that hold every interval, chance, and 1."""
    lowest = np.nanmin([*table["auroc_low"], *table["auroc"], *others, CHANCE])
    return float(np.floor(lowest * 20 - 0.2) / 20), 1.01


def _probe_detail(rows: DataFrame) -> str:
    """Layer and number of test sequences of the probe, where the table has them."""
    probe = rows[(rows.index == "residual_probe") & rows["auroc"].notna()]
    return "".join(f"layer {row.layer:.0f}, {row.n_test:,.0f} test sequences" for row in probe.itertuples())


def _plain(name: str) -> str:
    return name.replace("_", " ")
