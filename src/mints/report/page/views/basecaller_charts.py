"""Figures of a basecaller's patching: layers, groups against each other, strata, and what is restored over time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mints.report.page.blocks import Chart
from mints.report.page.marks import LEGIBLE, Estimates, Trace, curve_with_intervals, dodged, horizontal, named, vertical
from mints.report.page.panels import Panel, legend_below, literal, stacked
from mints.report.page.views.patching import limits

GROUPS = {"homopolymer": "homopolymers", "other": "other places"}
COMPONENTS = {"layer": "layer's output", "attention": "attention", "mlp": "feed-forward"}
LOOKS = {"homopolymer": ("@blue", "circle", -0.09), "other": ("@orange", "square", 0.09)}
NULLS = {"other_corrupted": "another corrupted run", "other_site": "another site", "unrelated": "an unrelated run"}
CURVES = ("@orange", "@green", "@purple", "@vermillion", "@blue")
Q = 0.05
TOLD = {f"differs (q ≤ {Q:g})": "@vermillion", "not told apart": "@quiet"}
MOST_CURVES, MOST_HEADS = 5, 16
"""Layers that are drawn at first, and heads in the figure of differences."""

PM = Estimates.of("pm")


def component_name(row: Mapping[Hashable, Any]) -> str:
    """Such as L3H0, or attention of layer 3."""
    if row["granularity"] == "head":
        return f"L{row['layer']:.0f}H{row['head']:.0f}"
    return f"layer {row['layer']:.0f}'s {'output' if row['granularity'] == 'layer' else COMPONENTS[row['granularity']]}"


def layer_heads(rows: pd.DataFrame) -> list[str]:
    """Names of the heads of these rows."""
    return [f"L{layer}H{head}" for layer, head in zip(rows["layer"], rows["head"], strict=True)]


def layer_chart(rows: pd.DataFrame, threshold: float | None, source: str) -> Chart:
    """Restoration by layer of output, attention and feed-forward in both groups, with the largest null of each."""
    panels: list[Panel] = []
    with_nulls = bool(rows["other_corrupted"].notna().any())
    whole = rows[rows["granularity"].isin(list(COMPONENTS))]
    for granularity, label in COMPONENTS.items():
        part = whole[whole["granularity"] == granularity]
        traces: list[Trace] = []
        for group in LOOKS:
            of_group = part[part["group"] == group].sort_values("layer")
            at_run, chunk = (of_group[of_group["patch"] == patch] for patch in ("run", "chunk"))
            look = {"legendgroup": group, "showlegend": not panels}
            traces.append(group_curve(at_run, group, with_nulls) | look)
            if with_nulls:
                traces.append(null_marks(at_run, group) | {"showlegend": not panels})
            traces.append(chunk_marks(chunk, group) | {"showlegend": not panels and len(chunk) > 0})
        panels.append(Panel(traces, label, lines=(0, 1), limits=limits(whole)))
    layers = sorted(whole["layer"].unique().tolist())
    ticks = {"tickmode": "array", "tickvals": layers if len(layers) <= 16 else layers[::2]}
    height = 680
    drawn, layout = stacked(panels, {"title": {"text": "layer"}, **ticks}, height)
    if threshold is not None:
        layout["shapes"] += [
            horizontal(threshold, f"y{number}", colour="@vermillion", dash="dash") for number in ("", 2, 3)
        ]
    said = "Hollow: not told from its nulls; bars: the largest null. " if with_nulls else "Nulls are of denoising. "
    flags = sorted(set(whole["flag"].dropna().astype(str)) - {""})
    exact = f" Last layer's output: {', '.join(flags)}." if flags else ""
    dashed = "" if threshold is None else f" Dashed: what a lower bound has to reach ({threshold:g})."
    note = f"Share restored (PM), 95% intervals over reads. {said}Diamonds: all positions exchanged.{dashed}{exact}"
    return Chart("Share restored by layer", drawn, layout, source, note, height)


def group_curve(rows: pd.DataFrame, group: str, with_nulls: bool) -> Trace:
    """One group's restoration at the run."""
    colour, symbol, shift = LOOKS[group]
    moved = rows.assign(place=rows["layer"] + shift)
    hollow = with_nulls & ~rows["restores"].astype(bool)
    told = [told_of(row) for row in rows.to_dict("records")]
    return {
        **curve_with_intervals(moved, "place", PM, name=GROUPS[group], colour=colour),
        "marker": {"color": colour, "size": 8, "symbol": [f"{symbol}-open" if each else symbol for each in hollow]},
        "text": told,
        "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
    }


def told_of(row: Mapping[Hashable, Any]) -> str:
    """Estimate, interval, nulls and flag of one component."""
    lines = [f"{component_name(row)}: {row['pm']:.3f} [{row['pm_low']:.3f}, {row['pm_high']:.3f}]"]
    lines += [f"null, {label}: {row[null]:.3f}" for null, label in NULLS.items() if pd.notna(row[null])]
    return "<br>".join(lines + ([literal(row["flag"])] if isinstance(row["flag"], str) and row["flag"] else []))


def null_marks(rows: pd.DataFrame, group: str) -> Trace:
    """The largest of a component's nulls."""
    colour, _, shift = LOOKS[group]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"largest null, {GROUPS[group]}",
        "x": (rows["layer"] + shift).tolist(),
        "y": rows[list(NULLS)].max(axis=1).tolist(),
        "marker": {"symbol": "line-ew-open", "size": 15, "color": colour, "line": {"width": 3, "color": colour}},
        "hovertemplate": "largest null %{y:.3f}<extra>%{fullData.name}</extra>",
    }


def chunk_marks(rows: pd.DataFrame, group: str) -> Trace:
    """Restoration when all positions are exchanged."""
    colour, _, shift = LOOKS[group]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"all positions, {GROUPS[group]}",
        "x": (rows["layer"] + 2.2 * shift).tolist(),
        "y": rows["pm"].tolist(),
        "marker": {"symbol": "diamond-open", "size": 8, "color": colour},
        "customdata": rows[["pm_low", "pm_high"]].to_numpy().tolist(),
        "hovertemplate": "%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra>%{fullData.name}</extra>",
    }


def differences_chart(rows: pd.DataFrame, source: str) -> Chart:
    """Homopolymers minus other places, by component; of many heads those of the smallest q."""
    whole, single = (rows[rows["granularity"].isin(kinds)] for kinds in (["attention", "mlp"], ["head"]))
    few = single[single["q"].rank(method="first") <= MOST_HEADS]
    shown = pd.concat([whole.sort_values(["granularity", "layer"]), few.sort_values(["layer", "head"])])
    shown = shown.assign(component=[component_name(row) for row in shown.to_dict("records")])
    told = np.where(shown["q"] <= Q, *TOLD)
    names = [name for name in TOLD if name in told]
    colours = [TOLD[name] for name in names]
    traces, axis = dodged(
        shown.assign(told=told), "component", names, "told", Estimates("difference", "low", "high"), colours
    )
    # A component is in one of the two only: each on its own line.
    labels = list(dict.fromkeys(shown["component"]))
    traces = [trace | {"y": [labels.index(text) for text in trace["text"]]} for trace in traces]
    height = 150 + 22 * len(shown)
    left_out = len(single) - len(few)
    rest = f" {left_out} heads of larger q are in the table." if left_out else ""
    layout = {
        "xaxis": {"title": {"text": "PM, homopolymers − others"}},
        "yaxis": axis,
        "shapes": [vertical(0)],
        "legend": legend_below(height),
        "showlegend": True,
    }
    strata, pairs = int(shown["strata"].max()), int(shown["pairs"].max())
    note = f"95% intervals over reads; {pairs} pairs in {strata} strata of base, length and corruption.{rest}"
    return Chart("Do homopolymers differ from other places?", traces, layout, source, note, height)


def strata_chart(rows: pd.DataFrame, name: str, source: str) -> Chart:
    """One component by base, run length and corruption, in both groups."""
    labels = rows["stratifier"].map(named) + " " + rows["stratum"].astype(str).map(named)
    table = rows.assign(label=labels, of=rows["group"].map(lambda group: GROUPS.get(group, group)))
    groups = [title for title in GROUPS.values() if title in set(table["of"])]
    traces, axis = dodged(table, "label", groups, "of", PM)
    counts = [row["n_pairs"] for row in table.to_dict("records")]
    height = 150 + 30 * table["label"].nunique()
    layout = {
        "xaxis": {"title": {"text": "share restored (PM)"}, "range": list(limits(table))},
        "yaxis": axis,
        "shapes": [vertical(0), vertical(1)],
        "legend": legend_below(height),
    }
    note = (
        f"{min(counts)} to {max(counts)} pairs each, 95% intervals over reads, not held against nulls. Other places"
        " carry the base and length of the run that they are matched to."
    )
    title = f"{name[:1].upper()}{name[1:]} by base, run length and corruption"
    return Chart(title, traces, layout, source, note, height)


def tracks_chart(rows: pd.DataFrame, source: str) -> Chart:
    """Gain in log-odds over time: all there is to restore, and what each layer's component restores of it."""
    clean = rows[rows["component"] == "clean run"].sort_values("sample")
    layers = sorted(rows.loc[rows["layer"] >= 0, "layer"].unique().tolist())
    shown = set(np.unique(np.linspace(0, len(layers) - 1, MOST_CURVES).astype(int)).tolist()) if layers else set()
    panels: list[Panel] = []
    for component, label in COMPONENTS.items():
        legend = {"showlegend": not panels}
        traces = track(clean, "clean run: all there is", "@ink", "clean") if len(clean) else []
        for index, layer in enumerate(layers):
            part = rows[(rows["component"] == component) & (rows["layer"] == layer)].sort_values("sample")
            visible = {"visible": True if index in shown else "legendonly"}
            colour = CURVES[index % len(CURVES)]
            traces += [
                trace | visible for trace in track(part, f"layer {layer}", colour, f"layer {layer}", dash="dash")
            ]
        traces = [trace | ({} if trace.get("showlegend") is False else legend) for trace in traces]
        panels.append(Panel(traces, f"{label}: gain (nats)", lines=(0,)))
    height = 760
    data, layout = stacked(panels, {"title": {"text": "samples from the run's first time step"}}, height)
    layout["shapes"] = [*layout["shapes"], vertical(0)]
    layout["meta"] = LEGIBLE
    more = " Further layers: choose them in the legend." if len(layers) > len(shown) else ""
    note = (
        "Denoising at the run: gain in the log-odds of the correct transition at each time step, mean over pairs;"
        f" shaded: 95% intervals over reads (of layers' output: on pointing).{more}"
    )
    return Chart("What is restored, time step by time step", data, layout, source, note, height)


def track(rows: pd.DataFrame, name: str, colour: str, group: str, dash: str = "solid") -> list[Trace]:
    """A curve over time, and the band of its intervals."""
    x = rows["sample"].tolist()
    band: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": x + x[::-1],
        "y": rows["high"].tolist() + rows["low"].tolist()[::-1],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.13,
        "line": {"width": 0, "color": colour},
        "hoverinfo": "skip",
        "legendgroup": group,
        "showlegend": False,
    }
    curve: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": rows["gain"].tolist(),
        "line": {"color": colour, "dash": dash, "width": 1.6},
        "customdata": rows[["low", "high"]].to_numpy().tolist(),
        "hovertemplate": "%{x} samples: %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
        "<extra>%{fullData.name}</extra>",
        "legendgroup": group,
    }
    return [band, curve]
