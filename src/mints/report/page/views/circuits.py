"""Feature circuits: the graphs to explore, what they carry, and what tracing finds of planted ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mints.report.page.blocks import EXPLORATORY, Block, Chart, Choice, Claim, Missing, Tone, View, Widget, table_block
from mints.report.page.circuit_data import explored
from mints.report.page.marks import LEGIBLE, SYMBOLS, horizontal, interval, named
from mints.report.page.saved import Saved
from mints.report.page.views.behaviours import called

GRAPHS = ("circuits/feature_graph.json", "circuits/*_circuit_graph.json")
EDGES, CURVES = "tables/feature_circuit_edges.csv", "tables/feature_circuit_curves.csv"
PLANTED = "tables/planted_circuit_detection.csv"
SPECIFICITY, LOSS, OVERLAP = (
    "tables/circuit_specificity.csv",
    "tables/circuit_masked_loss.csv",
    "tables/circuit_overlap.csv",
)
NOTES = {
    SPECIFICITY: "Mean activation of each latent on the behaviour's residues, on decoys of equal hydropathy, and on"
    " other behaviours' residues, with the areas that tell them apart.",
    LOSS: "Change of the loss at hidden tokens of the behaviour and of decoys when a latent is set to its mean.",
    OVERLAP: "Latents that two behaviours' circuits share, beside what chance would give.",
}
MEASURES = {
    "faithfulness": ("the circuit alone", "@blue"),
    "completeness": ("the model without it", "@vermillion"),
    "minimality": ("loss when one node goes", "@green"),
}
KINDS = {"feat->behavior": "latent → behaviour", "feat->feat": "latent → latent"}
ENDS = "Source and target are latents of their sites; −1: the site's error node, or the behaviour."
FEW = 16
"""Nodes at which a claim looks at the curve, or the next size that was run."""


def circuits(saved: Saved) -> View:
    """The explorer, the curves, and the planted circuits."""
    question = "Which latents carry the behaviour, through which others, and does the circuit do it alone?"
    names = [name for pattern in GRAPHS for name in saved.matching(pattern)]
    edges, curves, planted = (saved.table(name) for name in (EDGES, CURVES, PLANTED))
    blocks: list[Block] = []
    graphs = [explored(saved, name, document, edges) for name in names if (document := saved.value(name)) is not None]
    graphs = [graph | {"called": called(graph["name"])} for graph in graphs]
    if graphs:
        blocks.append(Widget("circuit", "Circuit explorer", {"graphs": graphs}, graphs[0]["source"], HELP))
    else:
        blocks.append(Missing("the circuits", saved.advice(*(names or GRAPHS[:1]))))
    blocks += by_behaviour(curves, lambda rows: [*curve_charts(rows)]) if len(curves) else []
    if not planted.empty:
        blocks.append(planted_chart(planted))
    for name in (SPECIFICITY, LOSS, OVERLAP):
        if not (table := saved.table(name)).empty:
            blocks.append(
                table_block(table, named(name.split("/")[-1].removesuffix(".csv")).capitalize(), name, note=NOTES[name])
            )
    if not edges.empty:
        blocks.append(table_block(edges.replace({"kind": KINDS}), "Every edge that was tested", EDGES, note=ENDS))
    return View("circuits", "Feature circuits", question, blocks, claims(curves, planted), "Feature circuits")


HELP = (
    "Circles are latents, the larger the more they matter to the behaviour, which is the square; the thicker an edge,"
    " the larger it is of its own kind. Diamonds are errors: what the dictionary of a site leaves of the activations."
    " Choose a node (click, or find it by name) to see what reaches it and what it"
    " reaches; choose an edge by the middle of its line. With the keyboard: arrows walk along the strongest edges and"
    " along a column, Escape shows all again."
)


def by_behaviour(curves: pd.DataFrame, draw: Any) -> list[Block]:
    """One group of blocks per behaviour, or the blocks themselves where there is one."""
    if "behaviour" not in curves:
        return list(draw(curves))
    options: Mapping[str, list[Block]] = {
        called(name): list(draw(rows)) for name, rows in curves.groupby("behaviour", sort=False)
    }
    return [Choice("behaviour", options)]


def curve_charts(curves: pd.DataFrame) -> list[Chart]:
    """Faithfulness, completeness and minimality against the number of nodes, each beside random circuits."""
    titles = {"keep": "error nodes kept", "remove": "error nodes removed"}
    return [
        _curve_chart(rows, f"What the circuit carries, {titles.get(str(errors), str(errors))}")
        for errors, rows in curves.groupby("errors", sort=False)
    ]


def _curve_chart(curves: pd.DataFrame, title: str) -> Chart:
    traces: list[dict[str, Any]] = []
    for measure, (label, colour) in MEASURES.items():
        rows = curves[curves["measure"] == measure].sort_values("nodes")
        if rows.empty:
            continue
        traces.append(_line(rows, "value", label, colour, low="low", high="high"))
        chance = rows[rows["random_mean"].notna()]
        if len(chance):
            traces.append(
                _line(chance, "random_mean", f"{label}: random circuits", colour, low="random_low", high="random_high")
            )
            traces[-1]["line"]["dash"] = "dot"
            traces[-1]["marker"] = {"symbol": "circle-open", "color": colour}
    nodes = sorted(set(curves["nodes"]))
    layout = {
        "meta": LEGIBLE,
        "xaxis": {
            "title": {"text": "latents in the circuit (0, then doubling)"},
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [str(number) for number in nodes],
        },
        "yaxis": {"title": {"text": "share of the behaviour's contrast"}, "range": _span(curves)},
        "shapes": [horizontal(0.0), horizontal(1.0)],
    }
    note = "Bars: 95% intervals over sequences; of random circuits, the smallest and largest. Long bars are cut."
    return Chart(title, traces, layout, CURVES, note, 420)


def _span(curves: pd.DataFrame) -> list[float]:
    """Where all values lie, and intervals as far as they are not much longer."""
    values = pd.concat([curves["value"], curves["random_mean"]]).dropna()
    return [min(-0.25, float(values.min()) - 0.15), max(1.35, float(values.max()) + 0.15)]


def _line(rows: pd.DataFrame, column: str, name: str, colour: str, *, low: str, high: str) -> dict[str, Any]:
    value = rows[column]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": rows["nodes"].astype(str).tolist(),
        "y": value.tolist(),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": (rows[high] - value).tolist(),
            "arrayminus": (value - rows[low]).tolist(),
            "thickness": 1.2,
            "width": 3,
            "color": colour,
        },
        "line": {"color": colour},
        "marker": {"color": colour, "size": 7},
    }


def planted_chart(planted: pd.DataFrame) -> Chart:
    """Detection rates of planted circuits by strength."""
    colours = ("@blue", "@orange", "@green", "@vermillion")
    traces: list[dict[str, Any]] = []
    for (criterion, rows), colour in zip(planted.groupby("criterion", sort=False), colours, strict=False):
        strengths = rows["strength"].map("{:g}".format)
        trace = _line(rows.assign(nodes=strengths), "rate", str(criterion), colour, low="low", high="high")
        look = {"color": colour, "symbol": f"{SYMBOLS[len(traces)]}-open", "size": 14 - 3 * len(traces)}
        traces.append(trace | {"marker": look | {"line": {"width": 2}}})
    layout = {
        "xaxis": {"title": {"text": "strength of the planted circuit (0: none)"}, "type": "category"},
        "yaxis": {"title": {"text": "share of planted circuits found"}, "range": [-0.05, 1.05]},
    }
    of = int(planted["planted"].max())
    note = (
        f"{of} circuits at each strength, of two latents: a of the lower site acts on b of the higher one, and both on"
        " the behaviour. Bars: exact 95% intervals; equal rates lie upon each other."
    )
    return Chart("What tracing could have seen: planted circuits", traces, layout, PLANTED, note, 340)


def claims(curves: pd.DataFrame, planted: pd.DataFrame) -> list[Claim]:
    """Whether few latents carry the behaviour alone, and whether a planted circuit would have been found."""
    made: list[Claim] = []
    keep = curves.query("errors == 'keep' and measure == 'faithfulness'") if len(curves) else curves
    groups = keep.groupby("behaviour", sort=False) if "behaviour" in keep else [("", keep)] if len(keep) else []
    for behaviour, rows in groups:
        at = rows[(rows["nodes"] >= FEW) & (rows["random_circuits"] > 0)].sort_values("nodes").head(1)
        if at.empty:
            continue
        row = at.iloc[0]
        of = f" {called(behaviour)}" if behaviour else ""
        told = (
            f"{EXPLORATORY}{int(row['nodes'])} latents with the error nodes keep"
            f" {interval(row['value'], row['low'], row['high'])} of the contrast; random circuits of that size"
            f" {interval(row['random_mean'], row['random_low'], row['random_high'])} (mean, smallest, largest of"
            f" {int(row['random_circuits'])})."
        )
        tone: Tone = "yes" if row["low"] > row["random_high"] else "no"
        made.append(Claim(f"Does a circuit of few latents carry the behaviour{of}?", told, tone))
    if not planted.empty:
        whole = planted[planted["criterion"] == "whole circuit"]
        found = ", ".join(
            f"{row['detected']} of {row['planted']} at strength {row['strength']:g}" for row in whole.to_dict("records")
        )
        made.append(
            Claim("Would tracing have found a circuit that is there?", f"Planted circuits found: {found}.", "open")
        )
    return made
