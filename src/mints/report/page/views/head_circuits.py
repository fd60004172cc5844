"""The circuits of the heads: QK and OV of every head in figures, and OV against the probes' directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mints.report.page.blocks import Block, Chart, Choice, Claim, Missing, Text, View, table_block
from mints.report.page.marks import Trace, named, vertical
from mints.report.page.panels import DIVERGING, SEQUENTIAL, Panel, capital, legend_below, stacked
from mints.report.page.saved import Saved

SUMMARY, AUDIT = "tables/circuit_summary.csv", "tables/ov_readout_audit.csv"
SIGNIFICANT = 0.05


class Measure(NamedTuple):
    """A column of the circuit summary, drawn on layers by heads."""

    column: str
    title: str
    meaning: str
    limits: tuple[float, float] | None
    """Ends of a scale with a middle; None: sizes from 0 up."""


MEASURES = (
    Measure("qk_spectral_norm", "QK norm", "largest singular value of W_QK: how much content can move the score", None),
    Measure("qk_effective_rank", "QK rank", "effective rank of W_QK: directions in use", None),
    Measure("qk_symmetry", "QK symmetry", "1: W_QK is symmetric, −1: antisymmetric, 0: as a random matrix", (-1, 1)),
    Measure("ov_spectral_norm", "OV norm", "largest singular value of W_OV: how much the head can write", None),
    Measure("ov_effective_rank", "OV rank", "effective rank of W_OV: directions in use", None),
    Measure("copying_score", "OV copying", "share of the eigenvalues of W_OV with a positive real part", (0, 1)),
)
STATISTICS = (("write_cosine", "write |cosine|"), ("read_cosine", "read |cosine|"), ("self_gain", "self-gain"))


def head_circuits(saved: Saved) -> View:
    """Maps of all heads, the read-out audit of every task, and the audited head vector by vector."""
    summary, audit = saved.table(SUMMARY), saved.table(AUDIT)
    blocks: list[Block] = []
    if summary.empty:
        blocks.append(Missing("the circuits of the heads", saved.advice(SUMMARY)))
    else:
        maps: dict[str, list[Block]] = {each.title: [measure_map(summary, each)] for each in MEASURES}
        blocks += [Text([form_sentence(summary)]), Choice("measure", maps)]
        blocks.append(table_block(summary.drop(columns="qk_form"), "Circuits of every head", SUMMARY))
    if audit.empty:
        blocks.append(Missing("the OV read-out audit", saved.advice(AUDIT)))
    else:
        pictures: dict[str, list[Block]] = {
            str(task): [audit_chart(str(task), rows)] for task, rows in audit.groupby("task", sort=False)
        }
        blocks += [Choice("task", pictures), *audited_head(saved, audit)]
        blocks.append(table_block(audit, "OV read-out audit: every head and task", AUDIT))
    question = "Where can each head look, what can it move, and does it write along what a probe reads?"
    return View("head-circuits", "Circuits of heads", question, blocks, claims(audit))


def form_sentence(summary: pd.DataFrame) -> str:
    """What W_QK stands for in this model."""
    form = str(summary["qk_form"].iloc[0])
    return f"W_QK decides where a head looks, W_OV what it moves. Here: {form}."


def measure_map(summary: pd.DataFrame, measure: Measure) -> Chart:
    """One measure on layers by heads."""
    values = summary.pivot(index="layer", columns="head", values=measure.column).sort_index()
    cells = values.to_numpy(dtype=float)
    largest = float(np.nanmax(cells)) if np.isfinite(cells).any() else 1.0
    low, high = measure.limits or (0.0, largest)
    colours = SEQUENTIAL if measure.limits is None else DIVERGING
    trace = {
        "type": "heatmap",
        "x": values.columns.tolist(),
        "y": values.index.tolist(),
        "z": cells.tolist(),
        "zmin": low,
        "zmax": high,
        "colorscale": [list(stop) for stop in colours],
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"thickness": 10, "outlinewidth": 0},
        "hovertemplate": "layer %{y}, head %{x}: %{z:.3f}<extra></extra>",
    }
    if cells.size <= 256:
        trace |= {"texttemplate": "%{z:.2f}", "textfont": {"size": 11}}
    layout = {
        "xaxis": {"title": {"text": "head"}, "dtick": 1 if cells.shape[1] <= 16 else 4, "showgrid": False},
        "yaxis": {
            "title": {"text": "layer"},
            "dtick": 1 if len(cells) <= 16 else 4,
            "autorange": "reversed",
            "showgrid": False,
        },
    }
    height = max(240, 90 + 34 * min(len(cells), 24))
    return Chart(f"{measure.title} of every head", [trace], layout, SUMMARY, f"{capital(measure.meaning)}.", height)


def audit_chart(task: str, rows: pd.DataFrame) -> Chart:
    """Every head's three statistics against the range of random directions."""
    rows = rows.sort_values(["layer", "head"]).reset_index(drop=True)
    panels = [
        Panel(audit_traces(rows, column, first=not index), label) for index, (column, label) in enumerate(STATISTICS)
    ]
    firsts = rows.drop_duplicates("layer")
    height = 560
    axis = {
        "title": {"text": "heads, layer by layer"},
        "tickmode": "array",
        "tickvals": firsts.index.tolist(),
        "ticktext": [f"L{layer}" for layer in firsts["layer"]],
        "range": [-0.7, len(rows) - 0.3],
    }
    traces, layout = stacked(panels, axis, height)
    probe_layer = int(rows["probe_layer"].iloc[0])
    above = rows.index[~rows["at_or_below_probe"].astype(bool)]
    if len(above):
        layout["shapes"].append(vertical(float(above[0]) - 0.5, colour="@vermillion", dash="dash"))
    note = (
        f"Probe at layer {probe_layer}. Filled: q ≤ {SIGNIFICANT:g} over all heads of the task; grey: 95% of random"
        " directions. A small q says more than chance geometry, not that the head feeds the probe: patching asks that."
    )
    note += " Right of the dashed line, heads lie above the probe." if len(above) else ""
    return Chart(f"{named(task)}: does a head write or read along the probe?", traces, layout, AUDIT, note, height)


def audit_traces(rows: pd.DataFrame, column: str, *, first: bool) -> list[Trace]:
    """One statistic: the null as a bar from low to high, the value filled where it is found."""
    low, high = rows[f"{column}_null_low"], rows[f"{column}_null_high"]
    null: Trace = {
        "type": "bar",
        "name": "95% of random directions",
        "x": rows.index.tolist(),
        "base": low.tolist(),
        "y": (high - low).tolist(),
        "width": 0.5,
        "marker": {"color": "@faint"},
        "hoverinfo": "skip",
        "showlegend": first,
    }
    found = rows[f"{column}_q"] <= SIGNIFICANT
    heads: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "head",
        "x": rows.index.tolist(),
        "y": rows[column].tolist(),
        "text": head_names(rows),
        "customdata": rows[[f"{column}_p", f"{column}_q"]].to_numpy().tolist(),
        "marker": {"color": "@blue", "size": 8, "symbol": ["circle" if yes else "circle-open" for yes in found]},
        "hovertemplate": "%{text}: %{y:.3f}, p = %{customdata[0]:.2g}, q = %{customdata[1]:.2g}<extra></extra>",
        "showlegend": first,
    }
    return [null, heads]


def audited_head(saved: Saved, audit: pd.DataFrame) -> list[Block]:
    """The singular vectors of the head that the configuration names."""
    task, layer, head = (saved.configured(f"audited_{part}") for part in ("task", "layer", "head"))
    source = f"tables/{task}_l{layer}h{head}_ov_probe_alignment.csv"
    table = saved.table(source)
    if table.empty:
        return [Missing("the audited head's singular vectors", saved.advice(source))]
    rows = audit[(audit["task"] == task) & (audit["layer"] == layer) & (audit["head"] == head)]
    return [vectors_chart(table, f"L{layer}H{head}", str(task), rows, source)]


def vectors_chart(table: pd.DataFrame, head: str, task: str, row: pd.DataFrame, source: str) -> Chart:
    """Cosines of every singular vector with the probe, its singular value, and its part in the self-gain."""
    sides = (("write_cosine", "write side", "@blue", "circle"), ("read_cosine", "read side", "@vermillion", "diamond"))
    cosines: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "x": table["vector"].tolist(),
            "y": table[column].tolist(),
            "marker": {"color": colour, "symbol": symbol, "size": 8},
            "hovertemplate": "vector %{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
        }
        for column, label, colour, symbol in sides
    ]
    one, largest = float(table["null_cosine"].iloc[0]), float(table["null_top_cosine"].iloc[0])
    reach = 1.12 * max(float(table[["write_cosine", "read_cosine"]].abs().to_numpy().max()), largest)
    panels = [
        Panel(cosines, "cosine with probe", (-largest, -one, 0, one, largest), (-reach, reach)),
        Panel([bars(table, "singular_value")], "singular value"),
        Panel([bars(table, "self_gain_part")], "part of self-gain", (0,)),
    ]
    height = 560
    traces, layout = stacked(panels, {"title": {"text": "singular vector, strongest first"}}, height)
    tests = [
        f"{label} {row[column].iloc[0]:.3f} (p = {row[f'{column}_p'].iloc[0]:.2g})"
        for column, label in (("write_cosine", "top write"), ("read_cosine", "top read"), ("self_gain", "self-gain"))
        if len(row)
    ]
    note = (
        f"{capital('; '.join(tests))}. Dotted: 95% of the cosines of one random vector (inner lines)"
        " and of the largest of all vectors (outer lines)."
    )
    layout["legend"] = legend_below(height)
    return Chart(f"{head} vector by vector, against the probe of {named(task)}", traces, layout, source, note, height)


def head_names(rows: pd.DataFrame) -> list[str]:
    """Names of the heads of a table, row by row."""
    return [f"L{layer}H{head}" for layer, head in zip(rows["layer"], rows["head"], strict=True)]


def bars(table: pd.DataFrame, column: str) -> Trace:
    """One column by singular vector."""
    return {
        "type": "bar",
        "x": table["vector"].tolist(),
        "y": table[column].tolist(),
        "marker": {"color": "@quiet"},
        "showlegend": False,
        "hovertemplate": "vector %{x}: %{y:.3g}<extra></extra>",
    }


def claims(audit: pd.DataFrame) -> list[Claim]:
    """How many heads write along a probe's direction more than random geometry does."""
    if audit.empty:
        return []
    below = audit[audit["at_or_below_probe"].astype(bool)]
    found = below[below["write_cosine_q"] <= SIGNIFICANT]
    told = "; ".join(
        f"{named(str(task))}: {', '.join(head_names(rows))}" for task, rows in found.groupby("task", sort=False)
    )
    tasks = below["task"].nunique()
    answer = f"{len(found)} of {len(below)} pairs of head and task ({tasks} tasks, q ≤ {SIGNIFICANT:g})"
    asked = "Does a head write along a probe's direction more than random geometry?"
    least = f"; the smallest q is {below['write_cosine_q'].min():.2g}" if len(below) else ""
    return [Claim(asked, f"{answer}: {told}." if told else f"{answer}{least}.", "yes" if told else "no")]
