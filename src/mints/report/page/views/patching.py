"""Figures of activation patching: restoration by place, by component and by head, and what one gradient foresees."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mints.report.page.blocks import Chart
from mints.report.page.marks import (
    Estimates,
    Shape,
    Trace,
    curve_with_intervals,
    horizontal,
    named,
    rows_with_intervals,
    vertical,
)
from mints.report.page.panels import DIVERGING, Panel, band, legend_below, stacked

PM = Estimates.of("pm")
GRANULARITIES = {"residual": "residual stream", "attention": "attention", "mlp": "feed-forward"}
DIRECTIONS = {"denoising": ("@blue", "circle"), "noising": ("@vermillion", "diamond")}
WIDEST = (-1.5, 2.5)
"""Axes of restoration end here unless an estimate lies further out: intervals of a ratio can be endless."""

MOST_CURVES, MOST_HEADS = 4, 24
"""Layers and heads that are drawn at first, and at all."""

SHIFT = 3.0
"""Bases between the first and the last layer's points of one window, so that intervals stay apart."""
COLOURS = ("@blue", "@vermillion", "@green", "@purple", "@orange", "@quiet")
CUT = "Intervals that leave the picture go on."


def window_charts(name: str, table: pd.DataFrame, width: int, source: str) -> list[Chart]:
    """Restoration by layer and 10-bp window as a map, and as tracks with intervals."""
    return [window_map(name, table, width, source), window_tracks(name, table, width, source)]


def window_map(name: str, table: pd.DataFrame, width: int, source: str) -> Chart:
    """Layers by windows of the sequence, the motif's extent marked."""
    values = table.pivot(index="layer", columns="start", values="pm").sort_index()
    reach = float(values.abs().max().max())
    reach = reach if reach > 0 else 1.0
    size = float((table["end"] - table["start"]).iloc[0])
    trace = {
        "type": "heatmap",
        "x": (values.columns.to_numpy(dtype=float) + size / 2).tolist(),
        "y": values.index.tolist(),
        "z": values.to_numpy().tolist(),
        "zmin": -reach,
        "zmax": reach,
        "colorscale": [list(stop) for stop in DIVERGING],
        "colorbar": {"title": {"text": "PM"}, "thickness": 10, "outlinewidth": 0},
        "hovertemplate": "layer %{y}, window around %{x} bp: %{z:.3f}<extra></extra>",
    }
    height = 150 + 26 * len(values)
    edges = [{**vertical(base, colour="@vermillion", dash="dash"), "layer": "above"} for base in (0, width)]
    layout = {
        "xaxis": {"title": {"text": "position from the motif's first base (bp)"}, "showgrid": False, "zeroline": False},
        "yaxis": {"title": {"text": "layer"}, "dtick": 1 if len(values) <= 16 else 4, "autorange": "reversed"},
        "shapes": edges,
    }
    note = (
        f"Share of the effect restored (PM) by one window's tokens at a layer's input; dashed: the motif, {width} bp."
    )
    return Chart(f"{named(name)}: patching by place and layer", [trace], layout, source, note, height)


def window_tracks(name: str, table: pd.DataFrame, width: int, source: str) -> Chart:
    """The same as one track per layer over the bases, with intervals."""
    layers = sorted(table["layer"].unique().tolist())
    shown = set(np.unique(np.linspace(0, len(layers) - 1, MOST_CURVES).astype(int)).tolist())
    traces = []
    for index, layer in enumerate(layers):
        rows = table[table["layer"] == layer].sort_values("start")
        shift = SHIFT * (index - (len(layers) - 1) / 2) / max(len(layers) - 1, 1)
        rows = rows.assign(middle=(rows["start"] + rows["end"]) / 2 + shift)
        trace = curve_with_intervals(rows, "middle", PM, name=f"layer {layer}", colour=COLOURS[index % len(COLOURS)])
        traces.append({**trace, "visible": True if index in shown else "legendonly"})
    height = 380
    layout = {
        "xaxis": {"title": {"text": "position from the motif's first base (bp)"}},
        "yaxis": {"title": {"text": "share restored (PM)"}, "range": list(limits(table))},
        "shapes": [band(0, width), horizontal(0), horizontal(1)],
        "legend": legend_below(height),
    }
    more = " Further layers: choose them in the legend." if len(layers) > len(shown) else ""
    note = (
        "95% intervals over pairs, layers side by side; shaded: the motif; dotted: nothing (0) and everything (1)."
        f" {CUT}{more}"
    )
    return Chart(f"{named(name)}: tracks over the bases", traces, layout, source, note, height)


def components_chart(name: str, table: pd.DataFrame, source: str) -> Chart:
    """Restoration by layer of the residual stream, attention and the feed-forward part, in both directions."""
    panels: list[Panel] = []
    for granularity, label in GRANULARITIES.items():
        rows = table[table["granularity"] == granularity]
        traces: list[Trace] = []
        for shift, (direction, (colour, symbol)) in zip((-0.06, 0.06), DIRECTIONS.items(), strict=True):
            part = rows[rows["direction"] == direction].sort_values("layer")
            part = part.assign(place=part["layer"] + shift)
            trace = curve_with_intervals(part, "place", PM, name=direction, colour=colour)
            flagged = part["flag"].fillna("").astype(str)
            marker = {"color": colour, "size": 8, "symbol": [f"{symbol}-open" if flag else symbol for flag in flagged]}
            told = [
                f"layer {layer}" + (f"<br>{flag}" if flag else "")
                for layer, flag in zip(part["layer"], flagged, strict=True)
            ]
            traces.append(
                {
                    **trace,
                    "marker": marker,
                    "text": told,
                    "hovertemplate": "%{text}: %{y:.3f}<extra>%{fullData.name}</extra>",
                    "legendgroup": direction,
                    "showlegend": not panels,
                }
            )
        panels.append(Panel(traces, label, lines=(0, 1), limits=limits(rows)))
    layers = sorted(table["layer"].unique().tolist())
    height = 560
    ticks = {"tickmode": "array", "tickvals": layers if len(layers) <= 16 else layers[::4]}
    traces, layout = stacked(panels, {"title": {"text": "layer"}, **ticks}, height)
    flags = sorted(set(table["flag"].dropna().astype(str)) - {""})
    hollow = f" Hollow: {', '.join(flags)}." if flags else ""
    note = (
        "Share of the effect restored (PM), 95% intervals over pairs. The residual stream is exchanged whole, at all"
        f" tokens: 1 at every layer up to the read-out's ({int(table['readout_layer'].iloc[0])}) and 0 above it, by"
        " construction. That checks the patching and says nothing of any layer; the other two panels, windows and heads"
        f" do.{hollow} {CUT}"
    )
    return Chart(f"{named(name)}: restoration by layer and component", traces, layout, source, note, height)


def heads_chart(name: str, table: pd.DataFrame, threshold: float | None, source: str) -> Chart:
    """Restoration by head with its nulls; of many heads, those that restore most."""
    denoising = table[table["direction"] == "denoising"].sort_values("pm", ascending=False)
    rows = denoising.head(MOST_HEADS)
    labels = [f"L{layer}H{head}" for layer, head in zip(rows["layer"], rows["head"], strict=True)]
    nulls = (
        ("other_corrupted", "null: another pair's corrupted run", "@quiet", "x"),
        ("control", "null: control pairs", "@orange", "triangle-up-open"),
    )
    traces = [rows_with_intervals(rows, labels, PM, name="the head (PM)", colour="@blue")]
    traces += [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "x": rows[column].tolist(),
            "y": labels,
            "marker": {"color": colour, "symbol": symbol, "size": 8},
            "hovertemplate": "%{y}: %{x:.3f}<extra>%{fullData.name}</extra>",
        }
        for column, label, colour, symbol in nulls
        if column in rows
    ]
    height = 150 + 24 * len(rows)
    shapes: list[Shape] = [vertical(0)]
    if threshold is not None:
        shapes.append(vertical(threshold, colour="@vermillion", dash="dash"))
    layout = {
        "xaxis": {"title": {"text": "share restored (PM)"}, "range": list(limits(rows))},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": shapes,
        "legend": legend_below(height),
    }
    left_out = len(denoising) - len(rows)
    rest = f" The {left_out} heads that restore less are in the table." if left_out else ""
    note = (
        "Denoising; 95% intervals over pairs. Dashed: what the lower bound has to reach. A null may lie beyond the"
        f" picture; paired intervals of head minus null are in the table and on the head's page.{rest} {CUT}"
    )
    return Chart(f"{named(name)}: restoration by head", traces, layout, source, note, height)


def attribution_chart(name: str, table: pd.DataFrame, rank: float | None, source: str) -> Chart:
    """What one gradient foresees of every head, against exact patching. rank: their rank correlation."""
    rows = table[(table["direction"] == "denoising")].dropna(subset=["attribution", "pm"])
    both = rows[["pm", "attribution"]].to_numpy(dtype=float)
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
    pad = 0.08 * (high - low) or 0.5
    ends = [low - pad, high + pad]
    heads: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "head",
        "x": rows["pm"].tolist(),
        "y": rows["attribution"].tolist(),
        "text": [f"L{layer}H{head}" for layer, head in zip(rows["layer"], rows["head"], strict=True)],
        "marker": {"color": "@blue", "size": 8, "opacity": 0.8},
        "hovertemplate": "%{text}<br>exact %{x:.3f}, estimated %{y:.3f}<extra></extra>",
    }
    line: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "estimate equals exact",
        "x": ends,
        "y": ends,
        "line": {"color": "@quiet", "dash": "dot", "width": 1.2},
        "hoverinfo": "skip",
    }
    height = 400
    layout = {
        "xaxis": {"title": {"text": "exact patching: share restored (PM)"}, "range": ends},
        "yaxis": {"title": {"text": "attribution patching: estimated PM"}, "range": ends},
        "legend": legend_below(height),
    }
    note = "One gradient estimates all heads at once; where the points leave the line, it misleads."
    if rank is not None:
        note += f" Spearman's rank correlation {rank:.2f}."
    return Chart(f"{named(name)}: attribution against exact patching", [line, heads], layout, source, note, height)


def limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Ends of an axis of restorations: all estimates and 0 to 1, intervals as far as that can be read."""
    estimates = rows["pm"].dropna()
    low = min([0.0, *estimates, max(WIDEST[0], float(rows["pm_low"].min()))])
    high = max([1.0, *estimates, min(WIDEST[1], float(rows["pm_high"].max()))])
    margin = 0.05 * (high - low)
    return low - margin, high + margin
