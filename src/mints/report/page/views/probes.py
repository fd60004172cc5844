"""What is decodable: probes of every task with every control, and the curve over layers."""

from __future__ import annotations

import re

import pandas as pd

from mints.report.figures import CONTROLS
from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, View, table_block
from mints.report.page.marks import (
    Estimates,
    curve_with_intervals,
    horizontal,
    interval,
    named,
    rows_with_intervals,
    vertical,
)
from mints.report.page.panels import literal
from mints.report.page.saved import Saved

CONTROL_TABLE, LAYER_TABLE = "tables/linear_probe_controls.csv", "tables/linear_probe_metrics.csv"
VERDICTS = "tables/beyond_composition.csv"
COLOURS = {"probe": "@blue", "floor": "@vermillion", "broken": "@purple", "other": "@green"}
GROUPS = {"probe": "probe", "floor": "no model", "broken": "broken on purpose", "other": "other test or training sets"}
AUROC = Estimates.of("auroc")
CHANCE = 0.5
LONG = 24
"""Letters of a control's name that fit one line."""


def probes(saved: Saved) -> View:
    """One picture per task, every control beside the probe."""
    controls, layers, verdicts = (saved.table(name) for name in (CONTROL_TABLE, LAYER_TABLE, VERDICTS))
    blocks: list[Block] = []
    if verdicts.empty:
        blocks.append(Missing("the verdicts", saved.advice(VERDICTS)))
    else:
        blocks.append(table_block(verdicts, "Is the label decodable beyond composition?", VERDICTS))
    if controls.empty:
        blocks.append(Missing("the controls", saved.advice(CONTROL_TABLE)))
    else:
        pictures: dict[str, list[Block]] = {
            str(task): [controls_chart(str(task), rows), *layer_chart(str(task), layers)]
            for task, rows in controls.groupby("task", sort=False)
        }
        blocks.append(Choice("task", pictures))
        blocks.append(table_block(controls, "Every probe and control", CONTROL_TABLE))
    question = "Which labels can a linear probe read from the residual stream, and is that more than composition tells?"
    return View("probes", "Probes and controls", question, blocks, claims(verdicts))


def claims(verdicts: pd.DataFrame) -> list[Claim]:
    """How many labels are decodable beyond the floor, and by how much."""
    if verdicts.empty:
        return []
    beyond = verdicts[verdicts["difference_low"] > 0]
    told = [
        f"{named(row['task'])} ({interval(row['difference'], row['difference_low'], row['difference_high'], 3)})"
        for row in beyond.to_dict("records")
    ]
    count = f"{len(beyond)} of {len(verdicts)} labels"
    answer = f"{count}: {', '.join(told)} of AUROC above the better k-mer floor." if told else f"{count}."
    return [Claim("Is a label decodable beyond k-mer composition?", answer, "yes" if told else "no")]


def controls_chart(task: str, rows: pd.DataFrame) -> Chart:
    """AUROC of the probe and of every control of one task."""
    order = [name for name in CONTROLS if (rows["control"] == name).any()]
    rows = rows.set_index("control").reindex(order + [name for name in rows["control"] if name not in order])
    traces = []
    for group, members in rows.groupby(rows.index.map(lambda name: group_of(str(name))), sort=False):
        labels = [label_of(str(name)) for name in members.index]
        traces.append(rows_with_intervals(members, labels, AUROC, name=GROUPS[str(group)], colour=COLOURS[str(group)]))
    floors = rows.loc[[name for name in ("kmer_logistic", "kmer_boosted") if name in rows.index], "auroc"]
    shapes = [
        vertical(CHANCE),
        *([vertical(float(floors.max()), colour="@vermillion", dash="dash")] if len(floors) else []),
    ]
    names = [label_of(str(name)) for name in rows.index]
    layout = {
        "xaxis": {"title": {"text": "test AUROC"}},
        "yaxis": {"categoryorder": "array", "categoryarray": names[::-1]},
        "shapes": shapes,
        "legend": {"y": -0.16},
    }
    note = "95% intervals over sequence clusters; dotted: chance; dashed: the better k-mer floor."
    return Chart(f"{named(task)}: probe and controls", traces, layout, CONTROL_TABLE, note, 120 + 38 * len(rows))


def label_of(control: str) -> str:
    """A control's name, on two lines where it is long."""
    label = CONTROLS[control][0] if control in CONTROLS else literal(control)
    return label if len(label) <= LONG else re.sub(r"(?<=,) | (?=on )", "<br>", label, count=1)


def group_of(control: str) -> str:
    """Kind of a control, in a word."""
    group = CONTROLS[control][1].label if control in CONTROLS else "other"
    return next((kind for kind in ("probe", "floor", "broken") if group.startswith(kind)), "other")


def layer_chart(task: str, layers: pd.DataFrame) -> list[Chart]:
    """AUROC over layers; none where the table is missing."""
    rows = layers[layers["task"] == task] if "task" in layers else layers
    if rows.empty:
        return []
    trace = curve_with_intervals(rows, "layer", AUROC, name="probe", colour="@blue")
    layout = {
        "xaxis": {"title": {"text": "layer"}, "tickmode": "array", "tickvals": rows["layer"].tolist()},
        "yaxis": {"title": {"text": "test AUROC"}},
        "shapes": [horizontal(CHANCE)],
        "showlegend": False,
    }
    chosen = rows.loc[rows["chosen"].astype(bool), "layer"].tolist()
    note = f"Chosen on validation: layer {chosen[0]}." if chosen else ""
    return [Chart(f"{named(task)}: over layers", [trace], layout, LAYER_TABLE, note, 300)]
