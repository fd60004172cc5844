"""Calibration: what the evidence stack could have seen in this model, and how often it sees what is not there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from mints.report.page.blocks import Block, Chart, Claim, Missing, Text, View, table_block
from mints.report.page.marks import Trace, horizontal, vertical
from mints.report.page.panels import capital, legend_below
from mints.report.page.saved import Saved

DETECTION, ALARMS, SENSITIVITY = (
    "tables/calibration_detection.csv",
    "tables/calibration_false_positives.csv",
    "tables/calibration_sensitivity.csv",
)
POWER, ACCEPTED = 0.95, 0.05
LOOKS = {
    "alignment": ("@blue", "circle", "solid"),
    "alignment relative to ceiling": ("@blue", "circle-open", "dot"),
    "enrichment": ("@green", "square", "solid"),
    "restoration": ("@orange", "triangle-up", "solid"),
    "registered stack": ("@vermillion", "diamond", "solid"),
    "ceiling-relative stack": ("@vermillion", "diamond-open", "dot"),
    "restoration above 0": ("@blue", "circle", "solid"),
    "restoration beyond its nulls": ("@vermillion", "diamond", "solid"),
}
OTHER = ("@purple", "x", "solid")
NULL_COLOURS = ("@blue", "@vermillion", "@green", "@purple", "@orange")


def calibration(saved: Saved) -> View:
    """Detection curves, false alarms, and the sentence that belongs to each negative result."""
    detection, alarms, sensitivity = (saved.table(name) for name in (DETECTION, ALARMS, SENSITIVITY))
    blocks: list[Block] = []
    if sensitivity.empty:
        blocks.append(Missing("what each negative result is worth", saved.advice(SENSITIVITY)))
    else:
        blocks.append(Text([sentence(row) for row in sensitivity.to_dict("records")]))
    blocks.append(
        Missing("the detection rates", saved.advice(DETECTION)) if detection.empty else detection_chart(detection)
    )
    blocks.append(Missing("the false alarms", saved.advice(ALARMS)) if alarms.empty else alarms_chart(alarms))
    tables = ((detection, "Detection of planted heads", DETECTION), (alarms, "False alarms", ALARMS))
    blocks += [table_block(table, title, name) for table, title, name in tables if not table.empty]
    question = (
        "How strong must a motif detector be, written into this model's weights, for these criteria to find it;"
        " and how often do they find one where there is none?"
    )
    return View("calibration", "Calibration", question, blocks, claims(sensitivity, alarms))


def sentence(row: Mapping[Hashable, Any]) -> str:
    """What a negative result of one criterion is worth."""
    return f"{capital(str(row['criterion']))}: {row['statement']}."


def detection_chart(table: pd.DataFrame, source: str = DETECTION) -> Chart:
    """Share of the planted heads that each criterion found, by strength, with exact intervals."""
    table = table.dropna(subset=["strength"])
    strengths = sorted(table["strength"].unique().tolist())
    criteria = table["criterion"].unique().tolist()
    traces = []
    for index, criterion in enumerate(criteria):
        rows = table[table["criterion"] == criterion].sort_values("strength")
        shift = 0.07 * (index - (len(criteria) - 1) / 2)
        traces.append(detection_curve(rows, strengths, shift, *LOOKS.get(criterion, OTHER)))
    ticks = {"tickmode": "array", "tickvals": list(range(len(strengths))), "ticktext": [f"{s:g}" for s in strengths]}
    height = 440
    layout = {
        "xaxis": {
            "title": {"text": "planted strength (evenly spaced)"},
            "range": [-0.4, len(strengths) - 0.6],
            **ticks,
        },
        "yaxis": {"title": {"text": "share found"}, "range": [-0.04, 1.06], "tickformat": ".0%"},
        "shapes": [horizontal(POWER, dash="dash")],
        "legend": legend_below(height),
    }
    planted = sorted(table["planted"].unique().tolist())
    count = " to ".join(str(each) for each in dict.fromkeys(planted[:1] + planted[-1:]))
    note = (
        f"{count} heads planted per strength; exact 95% intervals (Clopper–Pearson); dashed: {POWER:.0%}."
        " Equal curves are drawn side by side; choose an entry of the legend to hide or show a curve."
    )
    return Chart("Planted detectors found, by strength", traces, layout, source, note, height)


def detection_curve(
    rows: pd.DataFrame, strengths: list[float], shift: float, colour: str, symbol: str, dash: str
) -> Trace:
    """One criterion, a little aside of the others."""
    rate = rows["rate"]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": str(rows["criterion"].iloc[0]),
        "x": [strengths.index(strength) + shift for strength in rows["strength"]],
        "y": rate.tolist(),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": (rows["high"] - rate).tolist(),
            "arrayminus": (rate - rows["low"]).tolist(),
            "color": colour,
            "thickness": 1.2,
            "width": 2,
        },
        "line": {"color": colour, "dash": dash, "width": 1.6},
        "marker": {"color": colour, "symbol": symbol, "size": 8},
        "customdata": rows[["strength", "detected", "planted", "low", "high"]].to_numpy().tolist(),
        "hovertemplate": "strength %{customdata[0]}: %{customdata[1]} of %{customdata[2]} found"
        " [%{customdata[3]:.0%}, %{customdata[4]:.0%}]<extra>%{fullData.name}</extra>",
    }


def alarms_chart(
    table: pd.DataFrame, source: str = ALARMS, tested: str = "A null tests all heads per replicate."
) -> Chart:
    """False alarms of every criterion under every null: the rate as a bar, a line to its upper bound.

    tested: what the tests of a null are.
    """
    criteria, nulls = table["criterion"].unique().tolist(), table["null"].unique().tolist()
    traces: list[Trace] = []
    for index, null in enumerate(nulls):
        rows = table[table["null"] == null]
        traces.append(alarm_bars(rows, str(null), NULL_COLOURS[index % len(NULL_COLOURS)]))
    height, end = 130 + 26 * len(table), max(1.35 * float(table["upper"].max()), 1.1 * ACCEPTED)
    layout = {
        "barmode": "group",
        "bargap": 0.25,
        "xaxis": {
            "title": {"text": "share of heads called"},
            "tickformat": ".1~%",
            "nticks": 6,
            "tickangle": 0,
            "range": [0, end],
        },
        "yaxis": {"categoryorder": "array", "categoryarray": [wrapped(criterion) for criterion in criteria[::-1]]},
        "shapes": [vertical(ACCEPTED, dash="dash")],
        "legend": {**legend_below(height), "traceorder": "normal"},
    }
    called = f"{table['positives'].sum():,} of {table['tests'].sum():,} tests in all called a head."
    note = f"{called} Lines end at the one-sided 95% bound; dashed: {ACCEPTED:.0%}. {tested}"
    return Chart("False alarms where there is no detector", traces, layout, source, note, height)


def wrapped(criterion: str) -> str:
    """A criterion's name on two lines where it is long."""
    return criterion.replace(" relative to ", "<br>relative to ").replace(" beyond ", "<br>beyond ")


def alarm_bars(rows: pd.DataFrame, null: str, colour: str) -> Trace:
    """Rates under one null."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": null,
        "x": rows["rate"].tolist(),
        "y": [wrapped(criterion) for criterion in rows["criterion"]],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": (rows["upper"] - rows["rate"]).tolist(),
            "arrayminus": [0] * len(rows),
            "color": colour,
            "thickness": 2,
            "width": 4,
        },
        "marker": {"color": colour, "line": {"color": colour, "width": 1.5}},
        "customdata": rows[["positives", "tests", "upper"]].to_numpy().tolist(),
        "hovertemplate": "%{customdata[0]} of %{customdata[1]}, at most %{customdata[2]:.1%}"
        "<extra>%{fullData.name}</extra>",
    }


def claims(sensitivity: pd.DataFrame, alarms: pd.DataFrame) -> list[Claim]:
    """What the whole stack could have seen, and what it sees where there is nothing."""
    made = []
    if not sensitivity.empty:
        told = " ".join(sentence(row) for row in stacks(sensitivity).to_dict("records"))
        made.append(Claim("What could this have seen?", told or "The sensitivity of no stack was measured.", "open"))
    of_stacks = stacks(alarms)
    if not of_stacks.empty:
        told = "; ".join(
            f"{capital(str(criterion))}: {rows['positives'].sum()} of {rows['tests'].sum():,} tests"
            f" ({', '.join(rows['null'])}; each at most {rows['upper'].max():.1%}, one-sided 95% bound)"
            for criterion, rows in of_stacks.groupby("criterion", sort=False)
        )
        seen = bool(of_stacks["positives"].sum())
        made.append(Claim("Do the criteria call heads that detect nothing?", f"{told}.", "yes" if seen else "no"))
    return made


def stacks(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the criteria that ask for all of alignment, enrichment and restoration."""
    return table[table["criterion"].str.endswith("stack")] if len(table) else table
