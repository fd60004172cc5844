"""Latents exchanged between the two runs of many pairs: alone beside their nulls, and in growing sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing
from mints.report.page.marks import (
    Estimates,
    Trace,
    curve_with_intervals,
    horizontal,
    interval,
    named,
    rows_with_intervals,
    vertical,
)
from mints.report.page.panels import legend_below
from mints.report.page.saved import Saved

EFFECTS, SETS = "tables/latent_effects.csv", "tables/latent_sets.csv"
SIGNIFICANT = 0.05
CHANGED = "changed tokens"
BESIDE = ("beyond_matched_high", "beyond_random_high")
"""Columns of the effects that hold them against the nulls."""

DIRECTIONS = {"denoising": "restoring (denoising)", "noising": "removing (noising)"}
AXES = {"denoising": "mean change, restored (nats)", "noising": "mean change, taken away (nats)"}

NULLS = {
    "matched": ("matched latents", "@quiet", "line-ns-open"),
    "random": ("random direction", "@vermillion", "x-thin-open"),
    "elsewhere": ("the same move elsewhere", "@purple", "diamond-open"),
}
WHOLES = {
    "all latents": ("@purple", "dashdot"),
    "error alone": ("@orange", "dot"),
    "latents and error": ("@vermillion", "dash"),
    "token identity": ("@ink", "dot"),
}
SHOWN = 12
ASIDE = 0.09
"""Doublings between curves of one size, so that their intervals stand side by side."""

BEYOND = 0.22
"""Doublings by which the lines of wholes, each in its turn, end to the right of the largest set."""


class Study(NamedTuple):
    """What a study calls the parts of its exchange, and which of its sets are drawn."""

    pair: str
    """One case whose two runs are exchanged."""

    unit: str
    """What intervals are over."""

    moved: Mapping[str, str]
    """What is done, by direction."""

    whole: str
    """What stands between the two runs."""

    readouts: Mapping[str, str]
    itself: tuple[str, str]
    """Read-out at the place of the exchange, restored trivially: no claim is drawn from it. And its name."""

    rankings: Mapping[str, tuple[str, str, str]]
    """Name, colour and line of the sets of a ranking; a comma at its end stands before a read-out's name."""

    ranked_for: Mapping[str, str]
    """Read-out whose rankings are drawn, where a read-out has none of its own."""

    sets_note: str

    def of(self, table: pd.DataFrame) -> list[str]:
        """Read-outs of a table, in the order in which they count."""
        there = list(dict.fromkeys(table["readout"].astype(str)))
        return sorted(there, key=lambda name: [*self.readouts, name].index(name))

    def called(self, readout: object) -> str:
        """A read-out as a reader names it."""
        return self.readouts.get(str(readout), named(str(readout)))


def part(
    saved: Saved, name: str, what: str, draw: Callable[[pd.DataFrame], list[Block]], needed: Sequence[str] = ()
) -> list[Block]:
    """What is drawn of a table, or what is missing. needed: columns that this chapter needs beside the others'."""
    table = saved.table(name, *needed)
    if len(table):
        return draw(table)
    empty = f"{name} has no rows: the warnings of the steps, on the front, may say why"
    return [Missing(what, empty if saved.has(name) else saved.advice(name))]


def by_direction(rows: pd.DataFrame, draw: Callable[[pd.DataFrame], list[Block]]) -> Block:
    """The same figures of either direction, behind a button each."""
    there = [name for name in DIRECTIONS if (rows["direction"] == name).any()]
    return Choice("direction", {DIRECTIONS[name]: draw(rows[rows["direction"] == name]) for name in there})


def singles_chart(rows: pd.DataFrame, readout: str, study: Study) -> Chart:
    """The largest single latents of one direction and read-out, with their intervals and their nulls."""
    largest = rows.loc[rows["change"].abs().sort_values(ascending=False, kind="stable").index[:SHOWN]]
    labels = [
        f"F{latent} ({pairs} {study.pair}s)"
        for latent, pairs in zip(largest["latent"], largest["n_pairs"], strict=True)
    ]
    nulls: list[Trace] = []
    for column, (name, colour, symbol) in NULLS.items():
        if column in largest and largest[column].notna().any():
            marker = {"color": colour, "symbol": symbol, "size": 9, "line": {"color": colour, "width": 2}}
            hover = "%{y}<br>%{x:.3f}<extra>%{fullData.name}</extra>"
            trace: Trace = {"type": "scatter", "mode": "markers", "name": name, "x": largest[column].tolist()}
            nulls.append(trace | {"y": labels, "marker": marker, "hovertemplate": hover})
    own = rows_with_intervals(largest, labels, Estimates.of("change"), name="the latent", colour="@blue")
    height = 150 + 28 * len(largest)
    direction = str(rows["direction"].iloc[0])
    layout = {
        "xaxis": {"title": {"text": AXES[direction]}},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": [vertical(0.0)],
        "legend": legend_below(height),
    }
    note = (
        f"{study.moved[direction]} one at a time; the {len(largest)} largest of {len(rows)}. 95% intervals over"
        f" {study.unit}; nulls without theirs: the paired differences are in the table. Drawn largest first, which"
        f" flatters them.{whole_sentence(rows, study)}"
    )
    shown = [(str(row["site"]), int(row["latent"])) for row in largest.to_dict("records")]
    return Chart(
        f"Single latents: {study.called(readout)}", [*nulls, own], layout, EFFECTS, note, height, latents=shown
    )


def whole_sentence(rows: pd.DataFrame, study: Study) -> str:
    """What there is to restore, and that it is nothing where its interval holds 0."""
    if "effect" not in rows:
        return ""
    row = rows.iloc[0]
    told = (
        f" {study.whole[:1].upper()}{study.whole[1:]}: {interval(row['effect'], row['effect_low'], row['effect_high'])}"
    )
    holds = row["effect_low"] <= 0 <= row["effect_high"]
    return f"{told}, which holds 0: shares of it mean nothing." if holds else f"{told}."


def sets_chart(sets: pd.DataFrame, readout: str, study: Study) -> list[Chart]:
    """Growing sets of one direction at the changed tokens, and what wholes restore; none where no set is drawn."""
    if sets.empty:
        return []
    rows = sets[(sets["tokens"] == CHANGED) & (sets["readout"] == readout)]
    traces: list[Trace] = []
    for place, (ranking, (name, colour, dash)) in enumerate(study.rankings.items()):
        curve = rows[(rows["ranking"] == ranking_of(ranking, readout, study)) & (rows["size"] > 0)].sort_values("size")
        if len(curve):
            aside = curve.assign(drawn=curve["size"] * 2 ** (ASIDE * (place - (len(study.rankings) - 1) / 2)))
            trace = curve_with_intervals(aside, "drawn", Estimates.of("change"), name=name, colour=colour, dash=dash)
            told = {"customdata": curve["size"].tolist(), "hovertemplate": "%{customdata} latents: %{y:.3f} nats"}
            traces.append(trace | told)
    if not traces:
        return []
    sizes = sorted(rows.loc[(rows["size"] > 0) & (rows["ranking"] != "all latents"), "size"].unique().tolist())
    height = 480
    layout = {
        "xaxis": {"title": {"text": "latents moved together"}, "type": "log", "tickvals": sizes},
        "yaxis": {"title": {"text": AXES[str(rows["direction"].iloc[0])]}},
        "shapes": [horizontal(0.0)],
        "legend": {"y": -0.25},
    }
    ranked = study.ranked_for.get(readout)
    by = f" Ranked by {study.called(ranked)}." if ranked else ""
    note = f"95% intervals over {study.unit}; equal sizes are drawn side by side.{by} {study.sets_note}"
    note += whole_sentence(rows, study)
    traces += whole_lines(rows, sizes, study)
    return [Chart(f"Sets of latents: {study.called(readout)}", traces, layout, SETS, note, height)]


def ranking_of(ranking: str, readout: str, study: Study) -> str:
    """The ranking as the table names it."""
    return f"{ranking} {study.ranked_for.get(readout, readout)}" if ranking.endswith(",") else ranking


def whole_lines(rows: pd.DataFrame, sizes: list[int], study: Study) -> list[Trace]:
    """What no growing set is, as lines across all sizes with the interval at their right end."""
    first = rows.drop_duplicates("ranking").set_index("ranking").to_dict("index")
    there = {name: (first[name], "change", *style) for name, style in WHOLES.items() if name in first}
    there[study.whole] = (next(iter(first.values())), "effect", "@quiet", "longdash")
    lines: list[Trace] = []
    for place, (name, (row, column, colour, dash)) in enumerate(there.items(), start=1):
        ends = pd.DataFrame({"x": [sizes[0], sizes[-1] * 2 ** (BEYOND * place)], "y": row[column]})
        ends = ends.assign(y_low=[np.nan, row[f"{column}_low"]], y_high=[np.nan, row[f"{column}_high"]])
        line = curve_with_intervals(ends, "x", Estimates.of("y"), name=name, colour=colour, dash=dash)
        line["line"]["width"] = 1.5
        hover = f"{name}: %{{y:.3f}} nats<extra></extra>"
        lines.append(line | {"marker": {"color": colour, "size": [0, 7]}, "hovertemplate": hover})
    return lines


def single_claims(rows: pd.DataFrame, study: Study) -> list[Claim]:
    """Whether any single latent moves a read-out, other than where it is exchanged, by more than all of its nulls."""
    readout, name = study.itself
    rows = rows[(rows["readout"] != readout) & rows["q"].notna()] if len(rows) else rows
    if rows.empty:
        return []
    beating = rows[beats(rows)].sort_values("q")
    tests = f"{len(rows)} tests (latent, direction, read-out, site; {name} left out)"
    told = "; ".join(
        f"F{row['latent']} of {row['site']} ({row['direction']}, {study.called(row['readout'])}):"
        f" {interval(row['beyond_matched'], row['beyond_matched_low'], row['beyond_matched_high'], 3)} nats"
        " beyond matched latents"
        for row in beating.head(3).to_dict("records")
    )
    pairs = f"{rows['n_pairs'].min()} to {rows['n_pairs'].max()} {study.pair}s a latent"
    few = "" if len(beating) else ": what so few could have shown is not measured"
    answer = (
        f"{len(beating)} of {tests}; "
        + (told if told else f"the smallest q is {rows['q'].min():.2f}")
        + f". {pairs}{few}."
    )
    return [Claim("Does any single latent beat its nulls?", answer, "yes" if len(beating) else "open")]


def beats(rows: pd.DataFrame) -> pd.Series:
    """Rows whose q is small and whose interval of the difference to every null lies on the change's side of 0."""
    passed = rows["q"] <= SIGNIFICANT
    for null in NULLS:
        low, high = f"beyond_{null}_low", f"beyond_{null}_high"
        if low in rows and rows[low].notna().any():
            passed &= ((rows["change"] > 0) & (rows[low] > 0)) | ((rows["change"] < 0) & (rows[high] < 0))
    return passed
