"""Figures of the comparison of models: probes, differences, tokenizers, and best heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame, Series

from mints.report.figures import BROKEN, CHANCE, FLOOR
from mints.report.forest import Estimates, Group, forest, share_row_labels
from mints.report.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    heading,
    legend_below,
    line_mark,
    nothing_measured,
    panel_grid,
    point_mark,
    styled,
)

LOOKS = ((BLUE, "o"), (GREEN, "D"), (ORANGE, "^"), (INK, "v"))
"""Colour and marker of the models, in their order; further ones begin again."""

FLOORS = {"kmer_logistic": "k-mers, logistic", "kmer_boosted": "k-mers, boosted", "gc_content": "GC content"}
UNTRAINED = "untrained twin"

MEASURES = {"r": "largest r of a head", "rho": "largest ρ of a head"}


@styled
def probes_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Per task the AUROC of every model's probe with its interval, and of untrained twins and floors beside it.

    table: one row per task and model with columns task, model, layer, n_test, auroc, auroc_low, auroc_high,
    random_initialisation, kmer_logistic, kmer_boosted, gc_content, best_floor, flag.
    """
    title = f"The same probe on every model: test AUROC, {100 * level:g}% intervals"
    if table.empty:
        return nothing_measured(title)
    models, tasks = _names(table["model"]), _names(table["task"])
    looks = _looks(models)
    flagged = set(table.loc[table["flag"] != "none", "model"])
    names = [f"{model} (flagged)" if model in flagged else model for model in models]
    labels = [*names, *(f"{model}, untrained" for model in models), *FLOORS.values()]
    groups = [*(looks[model] for model in models), *[BROKEN] * len(models), *[FLOOR] * len(FLOORS)]
    grid = panel_grid(title, len(tasks), 2.7 if len(tasks) > 1 else 3.8, 0.22 * len(labels) + 0.75, _room(labels))
    shown = ["auroc_low", "random_initialisation", *FLOORS]
    lowest = float(np.floor(np.nanmin([*table[shown].to_numpy(dtype=float).ravel(), CHANCE]) * 20 - 0.2) / 20)
    for task, axis in zip(tasks, grid.panels, strict=True):
        rows = table[table["task"] == task].set_index("model").reindex(models)
        heading(axis, _plain(task), _probe_detail(rows))
        axis.axvline(CHANCE, color=QUIET, linestyle=":", linewidth=1)
        axis.axvline(rows[rows["best_floor"].iloc[0]].iloc[0], color=FLOOR.colour, linestyle="--", linewidth=1)
        controls = [*rows["random_initialisation"], *rows[list(FLOORS)].iloc[0]]
        absent = [np.nan] * len(controls)
        columns = [[*rows["auroc"], *controls], [*rows["auroc_low"], *absent], [*rows["auroc_high"], *absent]]
        forest(axis, labels, groups, Estimates(*(np.array(column, dtype=float) for column in columns)))
        axis.set_xlim(lowest, 1.01)
    share_row_labels(grid, "AUROC")
    marks = [point_mark(f"probe of {model}", *looks[model][1:]) for model in models]
    marks += [point_mark("probe of an untrained twin", *BROKEN[1:]), point_mark(*FLOOR)]
    marks += [line_mark("k-mer floor chosen on validation", FLOOR.colour, "--"), line_mark("chance", QUIET, ":")]
    legend_below(grid.figure, marks, columns=3 if grid.columns > 2 else 2)
    return grid.figure


@styled
def differences_figure(table: DataFrame, *, level: float = 0.95) -> Figure:
    """Paired differences of AUROC by task: model against model, then every model against its floor and its twin.

    table: columns task, kind, metric, first, second, difference, difference_low, difference_high.
    """
    title = f"Paired differences of test AUROC, {100 * level:g}% intervals"
    table = table[(table["metric"] == "auroc") & ~table["second"].isin(["shuffled_sequences", "gc_content"])]
    if table.empty:
        return nothing_measured(title)
    pairs = list(dict.fromkeys(zip(table["kind"], table["first"], table["second"], strict=True)))
    pairs.sort(key=lambda pair: KINDS.index(pair[0]))
    looks = _looks(_names(table.loc[table["kind"] != "models", "first"]))
    tasks = _names(table["task"])
    grid = panel_grid(title, len(pairs), 2.7, 0.24 * len(tasks) + 0.8, margin=2.0)
    limits = np.nanmin([*table["difference_low"], 0]), np.nanmax([*table["difference_high"], 0])
    room = 0.05 * (limits[1] - limits[0])
    for (kind, first, second), axis in zip(pairs, grid.panels, strict=True):
        chosen = (table["kind"] == kind) & (table["first"] == first) & (table["second"] == second)
        rows = table[chosen].set_index("task").reindex(tasks)
        heading(axis, first, f"minus {SECONDS.get(second, second)}")
        axis.axvline(0, color=QUIET, linewidth=1)
        group = Group("", INK, "s") if kind == "models" else looks[first]
        mean = group._replace(marker="P")
        estimates = Estimates.of(rows, "difference", "difference_low", "difference_high")
        forest(axis, [_plain(task) for task in tasks], [group] * (len(tasks) - 1) + [mean], estimates)
        axis.set_xlim(limits[0] - room, limits[1] + room)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=5))
    share_row_labels(grid, "difference of AUROC")
    return grid.figure


@styled
def tokenization_figure(tokenization: DataFrame, losses: DataFrame, *, level: float = 0.95) -> Figure:
    """Bases per token by task, and masked-token loss per base of every model and its floors.

    tokenization: columns task, model, mean_bases_per_token. losses: columns model, masking, predictor, bits_per_base
    with its interval; of the first way of masking alone.
    """
    title = "Tokenizers compared per base"
    if tokenization.empty:
        return nothing_measured(title)
    models, tasks = _names(tokenization["model"]), _names(tokenization["task"])
    looks = _looks(models)
    losses = losses[losses["masking"] == losses["masking"].iloc[0]] if len(losses) else losses
    grid = panel_grid(title, 2, 3.3, 0.24 * max(len(tasks), len(losses)) + 0.7, margin=2.6)
    lengths, per_base = grid.panels
    heading(lengths, "Bases per token", "mean over a task's sequences")
    rates = tokenization.pivot(index="task", columns="model", values="mean_bases_per_token").loc[tasks]
    for model in models:
        lengths.plot(rates[model], range(len(tasks)), looks[model].marker, color=looks[model].colour)
    lengths.set_yticks(range(len(tasks)), [_plain(task) for task in tasks])
    lengths.set_ylim(len(tasks) - 0.5, -0.5)
    lengths.set_xlim(0, float(np.nanmax(rates.to_numpy())) * 1.1)
    lengths.set_xlabel("bases per token")
    lengths.grid(axis="x")
    marks = [point_mark(model, *looks[model][1:]) for model in models]
    if losses.empty:
        per_base.set_axis_off()
    else:
        heading(per_base, "Masked-token loss", f"{losses['masking'].iloc[0]}; {100 * level:g}% intervals")
        _losses_per_base(per_base, losses, looks)
        marks += [
            point_mark("floor of the model above it", *FLOOR[1:]),
            line_mark("four equally likely bases", QUIET, ":"),
        ]
    legend_below(grid.figure, marks, columns=2)
    return grid.figure


def _losses_per_base(axis: Axes, losses: DataFrame, looks: Mapping[str, Group]) -> None:
    of_model = losses["predictor"] == "model"
    labels = losses["predictor"].where(~of_model, losses["model"]).tolist()
    groups = [looks[model] if own else FLOOR for model, own in zip(losses["model"], of_model, strict=True)]
    columns = [f"bits_per_base{end}" for end in ("", "_low", "_high")]
    forest(axis, labels, groups, Estimates.of(losses, *columns))
    axis.axvline(2, color=QUIET, linestyle=":", linewidth=1)
    axis.set_xlabel("bits per hidden base (lower is better)")
    axis.margins(x=0.15)


@styled
def heads_figure(summary: DataFrame, thresholds: Mapping[str, float], *, level: float = 0.95) -> Figure:
    """Per question the best head of every model in alignment (left) and enrichment (right).

    summary: one row per question and model with columns heads, largest_r, largest_r_low, largest_r_high, r_head,
    largest_r_inner, largest_ceiling, untrained_r, aligned, and the same of rho (without ceiling and inner tokens) with
    enriched. thresholds: of r, rho.
    """
    title = f"The best head of every model on the same sequences, {100 * level:g}% intervals"
    if "largest_r" not in summary:
        return nothing_measured(title)
    questions, models = _names(summary["question"]), _names(summary["model"])
    looks = _looks(models)
    height = 0.3 * len(models) + 0.85
    margin = 2 * _room(f"{model}, L99H99" for model in models)
    grid = panel_grid(title, 2 * len(questions), 2.6, height, margin, columns=2)
    for place, axis in enumerate(grid.panels):
        question, measure = questions[place // 2], list(MEASURES)[place % 2]
        rows = summary[summary["question"] == question].set_index("model").reindex(models)
        passing = "aligned" if measure == "r" else "enriched"
        counts = ", ".join(f"{count:.0f}/{heads:.0f}" for count, heads in rows[[passing, "heads"]].to_numpy())
        heading(axis, _plain(question), f"{passing}: {counts} heads")
        _best_heads(axis, rows, measure, thresholds[measure], [looks[model] for model in models])
        _share_limits(axis, summary, measure, thresholds[measure])
    for axis, measure in zip(grid.bottom(), MEASURES, strict=True):
        axis.set_xlabel(MEASURES[measure])
    marks = [point_mark(model, *looks[model][1:]) for model in models]
    marks += [
        point_mark(UNTRAINED, PURPLE, "X"),
        point_mark("largest r away from the ends", INK, "s", hollow=True),
        point_mark("highest ceiling of a layer", ORANGE, "|"),
        line_mark("registered", INK, "--"),
    ]
    legend_below(grid.figure, marks, columns=3)
    return grid.figure


def _best_heads(axis: Axes, rows: DataFrame, measure: str, threshold: float, groups: Sequence[Group]) -> None:
    estimates = Estimates.of(rows, *(f"largest_{measure}{end}" for end in ("", "_low", "_high")))
    labels = [f"{model}, {head}" for model, head in rows[f"{measure}_head"].items()]
    axis.axvline(threshold, color=INK, linestyle="--", linewidth=1)
    axis.plot(rows[f"untrained_{measure}"], range(len(rows)), "X", color=PURPLE)
    if measure == "r":
        axis.plot(rows["largest_r_inner"], range(len(rows)), "s", color=INK, markerfacecolor="white", markersize=4)
        axis.plot(rows["largest_ceiling"], range(len(rows)), "|", color=ORANGE, markersize=11, markeredgewidth=2)
    forest(axis, labels, groups, estimates)


def _share_limits(axis: Axes, summary: DataFrame, measure: str, threshold: float) -> None:
    """The same scale in every question."""
    columns = [f"largest_{measure}_low", f"largest_{measure}_high", f"untrained_{measure}"]
    columns += ["largest_ceiling", "largest_r_inner"] if measure == "r" else []
    values = [*summary[columns].to_numpy(dtype=float).ravel(), threshold, 0 if measure == "r" else 1]
    room = 0.05 * (np.nanmax(values) - np.nanmin(values))
    axis.set_xlim(np.nanmin(values) - room, np.nanmax(values) + room)


KINDS = ("models", "floor", "own control")
"""In the order in which they are drawn."""

SECONDS = {"best_floor": "k-mer floor", "random_initialisation": UNTRAINED}


LETTER = 0.075
"""Inches of a letter of a row's name."""


def _room(labels: Iterable[str]) -> float:
    """Inches that the names of rows take."""
    return max(map(len, labels)) * LETTER + 0.2


def _names(column: Series) -> list[str]:
    return [str(name) for name in column.unique()]


def _looks(models: Sequence[str]) -> dict[str, Group]:
    return {model: Group(model, *LOOKS[place % len(LOOKS)]) for place, model in enumerate(models)}


def _probe_detail(rows: DataFrame) -> str:
    layers = ", ".join(f"{layer:.0f}" for layer in rows["layer"])
    return f"layers {layers}; {rows['n_test'].iloc[0]:,.0f} test sequences"


def _plain(name: str) -> str:
    return name.replace("_", " ")
