"""Single-base substitutions at motif sites: what each does, and whether it does more than the same one elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mints.report.latents import BASES, by_place
from mints.report.page.blocks import EXPLORATORY, Block, Chart, Choice, Claim, Text, table_block
from mints.report.page.marks import Estimates, Trace, interval, rows_with_intervals, vertical
from mints.report.page.panels import DIVERGING, broken, capital, legend_below, literal, reach
from mints.report.page.saved import Saved
from mints.report.page.views.exchanged_latents import SIGNIFICANT, part

SUBSTITUTED, SUMMARY = "features/substitution_effects.csv", "tables/substitution_summary.csv"
MADE_BY = "feature_causality"
MEASURES = {
    "masked_marginal": "masked marginal",
    "wild_type_marginal": "wild-type marginal",
    "other_tokens": "log-likelihood of all other tokens",
    "probe": "probe's logit",
    "probe_elsewhere": "probe's logit from the other tokens",
}
REFUSED = {
    "boundaries": "would move a token boundary",
    "several_tokens": "would change several tokens",
    "unknown_letter": "meet an N",
    "unchanged": "would change no token",
}
ELSEWHERE = "elsewhere"


def substitution_blocks(saved: Saved) -> list[Block]:
    """Sites against controls, then the map and the spread of every measure."""
    facts = saved.account.get("facts", {}).get(MADE_BY, {}).get("substitutions")
    return [
        *([Text([counted(facts)])] if facts else []),
        *part(saved, SUMMARY, "sites against controls", contrast_blocks),
        *part(saved, SUBSTITUTED, "the effects of substitutions", map_blocks),
    ]


def counted(facts: Mapping[str, Any]) -> str:
    """How many substitutions are scored, and what became of the rest."""
    refused = [f"{facts[name]:,} {why}" for name, why in REFUSED.items() if facts.get(name)]
    rest = f" Of the rest, {' and '.join(refused)}." if refused else ""
    return (
        f"Every other base at every place of {facts['sites']} motif sites, and the same substitution at a random place"
        f" of the sequence outside all sites: {facts['kept']:,} of {facts['tried']:,} exchange one token for another at"
        f" the same place and are scored.{rest}"
    )


def named_measures(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of the measures, with the name that a reader knows."""
    order = [*MEASURES, *(name for name in table["measure"] if name not in MEASURES)]
    rows = table.set_index("measure").reindex([name for name in order if name in set(table["measure"])]).reset_index()
    return rows.assign(label=[MEASURES.get(name, literal(name)) for name in rows["measure"].astype(str)])


def contrast_blocks(summary: pd.DataFrame) -> list[Block]:
    """The difference of sites and controls, and how effects follow what the motif loses."""
    rows = named_measures(summary)
    difference = (
        f"{int(rows['sequences'].max())} sequences; 95% intervals over sequence clusters. Left of the line: a"
        f" substitution at a site costs more than elsewhere. Filled: q ≤ {SIGNIFICANT}."
    )
    followed = (
        "Spearman's ρ over all substitutions at sites; 95% intervals. Right of the line: the more of its score the"
        " motif loses, the lower the measure."
    )
    sites, score = "Sites against the same substitutions elsewhere", "Do effects follow the motif's score?"
    found = (rows["q"] <= SIGNIFICANT).tolist()
    return [
        forest(sites, rows, "difference", "site − elsewhere (nats)", difference, found),
        forest(score, rows, "bits_correlation", "ρ with the change of score", followed),
        table_block(summary, "Sites against controls", SUMMARY),
    ]


def forest(title: str, rows: pd.DataFrame, column: str, axis: str, note: str, found: list[bool] | None = None) -> Chart:
    """One column with its interval, a row per measure. found: those that are filled; default all."""
    labels = [broken(label) for label in rows["label"]]
    trace = rows_with_intervals(rows, labels, Estimates.of(column), name=axis, colour="@blue")
    trace["marker"]["symbol"] = ["circle" if yes else "circle-open" for yes in found or [True] * len(rows)]
    layout = {
        "xaxis": {"title": {"text": axis}},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": [vertical(0.0)],
        "showlegend": False,
    }
    return Chart(title, [trace], layout, SUMMARY, note, 110 + 36 * len(labels))


def map_blocks(table: pd.DataFrame) -> list[Block]:
    """Of every measure: the mean of each substitution by place, and the spread at each place."""
    measures: dict[str, list[Block]] = {
        name: [map_chart(table, measure, name), spread_chart(table, measure, name)]
        for measure, name in MEASURES.items()
        if measure in table
    }
    return [Choice("measure", measures)]


def places(table: pd.DataFrame) -> dict[str, Any]:
    """The axis of places in the motif, each with the letter that most sites have there."""
    at_sites = table[table["kind"] == "site"]
    letters = at_sites.groupby("offset")["motif_wild_type"].agg(lambda each: each.mode().iloc[0])
    width = int(table["offset"].max()) + 1
    ticks = [f"{place + 1}<br>{literal(letters.get(place, ''))}" for place in range(width)]
    look = {"showgrid": False, "zeroline": False, "range": [-0.5, width - 0.5]}
    return {
        "title": {"text": "position in the motif (bp)"},
        "tickvals": list(range(width)),
        "ticktext": ticks,
        **look,
    }


def map_chart(table: pd.DataFrame, measure: str, name: str) -> Chart:
    """Bases by places: the mean over sites, and below it that of the controls."""
    axis, letters = places(table), [*BASES, ELSEWHERE]
    width = len(axis["tickvals"])
    values, counts = (by_place(table, measure, width, statistic) for statistic in ("mean", "count"))
    heat: Trace = {
        "type": "heatmap",
        "x": axis["tickvals"],
        "y": letters,
        "z": values.tolist(),
        "customdata": counts.tolist(),
        **reach(values, 0.0),
        "colorscale": [list(stop) for stop in DIVERGING],
        "colorbar": {"title": {"text": "nats"}, "thickness": 10, "outlinewidth": 0},
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": False,
        "hovertemplate": "position %{x}, to %{y}: %{z:.3f} nats<br>mean of %{customdata} substitutions<extra></extra>",
    }
    absent = np.argwhere(~np.isfinite(values)).tolist()
    crosses: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [place for _, place in absent],
        "y": [letters[row] for row, _ in absent],
        "marker": {"color": "@quiet", "size": 6, "symbol": "x-thin", "line": {"color": "@quiet", "width": 1}},
        "showlegend": False,
        "hoverinfo": "skip",
    }
    layout = {
        "xaxis": axis,
        "yaxis": {
            "title": {"text": "to base"},
            "categoryarray": letters[::-1],
            "categoryorder": "array",
            "showgrid": False,
        },
    }
    note = (
        "Means over the substitutions of a cell, along the motif's strand; below each place the letter of most sites."
        " Brown: lower with the substitution. Crosses: none is scored. Last row: the same substitutions elsewhere."
    )
    return Chart(f"{capital(name)}: every substitution by its place", [heat, crosses], layout, SUBSTITUTED, note, 330)


def spread_chart(table: pd.DataFrame, measure: str, name: str) -> Chart:
    """All substitutions of every place as boxes, sites beside controls."""
    traces: list[Trace] = []
    for kind, label, colour in (("site", "at the site", "@blue"), ("control", ELSEWHERE, "@quiet")):
        rows = table[table["kind"] == kind]
        trace: Trace = {"type": "box", "name": label, "x": rows["offset"].tolist(), "y": rows[measure].tolist()}
        traces.append(trace | {"marker": {"color": colour, "size": 3}, "line": {"width": 1.2}})
    layout = {
        "boxmode": "group",
        "xaxis": places(table),
        "yaxis": {"title": {"text": "change (nats)"}},
        "legend": legend_below(320),
    }
    note = "Every substitution, at the site and elsewhere. Boxes: quartiles; points: far from them."
    return Chart(f"{capital(name)}: spread at every place", traces, layout, SUBSTITUTED, note, 360)


def substitution_claims(summary: pd.DataFrame) -> list[Claim]:
    """Whether a substitution in a site costs more than the same one elsewhere, by which measures."""
    if summary.empty:
        return []
    rows = named_measures(summary)
    sure = rows["q"] <= SIGNIFICANT
    lower, higher = rows[sure & (rows["difference_high"] < 0)], rows[sure & (rows["difference_low"] > 0)]

    def told(some: pd.DataFrame) -> str:
        return ", ".join(
            f"{row['label']} {interval(row['difference'], row['difference_low'], row['difference_high'])}"
            for row in some.to_dict("records")
        )

    model = rows[rows["measure"] == next(iter(MEASURES))]
    rest = model[~model.index.isin([*lower.index, *higher.index])]
    parts = [f"{EXPLORATORY}by {len(lower)} of {len(rows)} measures (q ≤ {SIGNIFICANT})"]
    parts += [f"lower at sites, in nats: {told(lower)}"] if len(lower) else []
    parts += [f"higher at sites, so less costly there, in nats: {told(higher)}"] if len(higher) else []
    parts += [f"not told apart: {told(rest)}"] if len(rest) else []
    question = "Does a substitution in a motif site cost the model more than the same one elsewhere?"
    return [Claim(question, "; ".join(parts) + ".", "yes" if len(lower) else "no")]
