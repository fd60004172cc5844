"""Figures of one head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from mints.report.page.blocks import Chart
from mints.report.page.marks import Shape, Trace, interval, vertical
from mints.report.page.panels import Panel, capital, legend_below, stacked
from mints.report.page.views.patching import CUT

ROLES = (("other tokens", "@quiet", 0), ("matched background", "@orange", 2), ("motif tokens", "@blue", 1))
"""Name, colour and number of each role, in the order of drawing."""

WIDEST, FURTHEST = (-1.5, 2.5), (-4, 5)
"""Axes of restoration show intervals up to the first limits, and estimates up to the second."""


def spectra_chart(spectra: Mapping[str, ndarray], layer: int, head: int, source: str) -> Chart:
    """Singular values of QK and OV, strongest first."""
    panels = []
    for name, colour in (("qk", "@blue"), ("ov", "@vermillion")):
        values = spectra[f"{name}_singular_values"][layer, head]
        trace: Trace = {
            "type": "bar",
            "x": np.arange(1, len(values) + 1),
            "y": values,
            "marker": {"color": colour},
            "showlegend": False,
            "hovertemplate": "%{x}: %{y:.3g}<extra></extra>",
        }
        panels.append(Panel([trace], f"W_{name.upper()}"))
    height = 360
    traces, layout = stacked(panels, {"title": {"text": "singular value, largest first"}}, height)
    note = f"{capital(str(spectra['qk_form']))}." if "qk_form" in spectra else ""
    return Chart("Spectra of the QK and the OV circuit", traces, layout, source, note, height)


def eigenvalue_chart(spectra: Mapping[str, ndarray], layer: int, head: int, source: str) -> Chart:
    """Eigenvalues of OV in the complex plane: to the right the head copies, to the left it takes away."""
    values = spectra["ov_eigenvalues"][layer, head]
    reach = 1.1 * float(np.abs(values).max()) or 1.0
    trace: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": values.real,
        "y": values.imag,
        "marker": {"color": "@vermillion", "size": 7, "opacity": 0.8},
        "hovertemplate": "%{x:.3g} %{y:+.3g}i<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "real part"}, "range": [-reach, reach]},
        "yaxis": {"title": {"text": "imaginary part"}, "range": [-reach, reach], "scaleanchor": "x"},
        "shapes": [vertical(0)],
        "showlegend": False,
    }
    note = "Right of 0 the head strengthens what it reads (copying), left of 0 it takes it away."
    return Chart("Eigenvalues of the OV circuit", [trace], layout, source, note, 360)


def alignment_chart(
    row: Mapping[str, Any],
    sampled: pd.Series,
    tokens: Mapping[str, ndarray],
    scores: Float[ndarray, "token"],
    source: str,
) -> Chart:
    """Key score against motif score of single tokens, both centred within their sequence."""
    motif, role = tokens["motif_score"], tokens["role"]
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": few_digits(motif[role == number]),
            "y": few_digits(scores[role == number]),
            "marker": {"color": colour, "size": 6, "opacity": 0.7},
            "hovertemplate": "motif score %{x:.2f} bits, key score %{y:.3g}<extra>%{fullData.name}</extra>",
        }
        for name, colour, number in ROLES
    ]
    ends = np.array([motif.min(), motif.max()]) if len(motif) else np.zeros(2)
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "slope over all sampled tokens",
            "x": ends,
            "y": ends * sampled["slope"],
            "line": {"color": "@ink", "width": 1.5},
            "hoverinfo": "skip",
        }
    )
    height = 380
    layout = {
        "xaxis": {"title": {"text": "motif score, centred (bits)"}},
        "yaxis": {"title": {"text": "key score, centred"}},
        "legend": legend_below(height),
    }
    note = (
        f"{len(motif)} tokens drawn at random, both scores centred within their sequence."
        f" r = {sampled['r']:.3f} over all {sampled['tokens']:,} tokens of {sampled['sequences']} sampled sequences;"
        f" {interval(row['r'], row['r_low'], row['r_high'], 3)} over all sequences of the alignment."
    )
    return Chart("Alignment: does the key follow the motif?", traces, layout, source, note, height)


def received_chart(row: Mapping[str, Any], sampled: pd.Series, counts: pd.DataFrame, source: str) -> Chart:
    """Attention received by motif tokens and by their matched background, as shares of the tokens by bin."""
    traces: list[Trace] = []
    shapes: list[Shape] = []
    sides = (("support", "motif tokens", "@blue"), ("background", "matched background", "@orange"))
    for column, name, colour in sides:
        total = max(int(counts[column].sum()), 1)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": few_digits([*counts["low"], *counts["high"].tail(1)]),
                "y": few_digits([*(counts[column] / total), 0]),
                "line": {"color": colour, "shape": "hv", "width": 2},
                "fill": "tozeroy",
                "opacity": 0.9,
                "hovertemplate": "from %{x:.2%}: %{y:.1%} of the tokens<extra>%{fullData.name}</extra>",
            }
        )
        mean = float(sampled[f"{column}_mean"])
        if np.isfinite(mean):
            shapes.append(vertical(mean, colour=colour, dash="dash"))
    height = 340
    layout = {
        "xaxis": {
            "title": {"text": "attention received (log scale)"},
            "type": "log",
            "tickmode": "array",
            "tickvals": (ticks := decades(counts)),
            "ticktext": [f"{100 * tick:.2g}%" for tick in ticks],
        },
        "yaxis": {"title": {"text": "share of the tokens"}, "tickformat": ".0%", "rangemode": "tozero"},
        "shapes": shapes,
        "legend": legend_below(height),
    }
    note = (
        f"Mean over queries. {sampled['support_tokens']:,} motif tokens and as many of the same length, GC and place."
        f" Dashed: the means, whose ratio is ρ = {sampled['rho']:.3f} here;"
        f" {interval(row['rho'], row['rho_low'], row['rho_high'], 3)} over all sequences."
    )
    return Chart("Attention received: motif tokens and background", traces, layout, source, note, height)


def restoration_chart(rows: pd.DataFrame, threshold: float | None, source: str) -> Chart:
    """What patching this head restores, its nulls, and the paired differences."""
    by = {str(row["direction"]): row for row in rows.to_dict("records")}
    shown: list[tuple[str, float, float, float, str]] = []
    for direction in ("denoising", "noising"):
        if direction in by:
            row = by[direction]
            shown.append((f"PM, {direction}", row["pm"], row["pm_low"], row["pm_high"], "@blue"))
    row = by.get("denoising", {})
    for column, label in (
        ("other_corrupted", "null, another<br>pair, corrupted"),
        ("control", "null,<br>control pairs"),
        ("other_pair", "for comparison:<br>another pair, clean"),
    ):
        if np.isfinite(row.get(column, np.nan)):
            shown.append((label, row[column], np.nan, np.nan, "@quiet"))
    for column, label in (("other_corrupted", "PM − another<br>pair, corrupted"), ("control", "PM −<br>control pairs")):
        low, high = row.get(f"beyond_{column}_low", np.nan), row.get(f"beyond_{column}_high", np.nan)
        if np.isfinite(low):
            shown.append((label, row["pm"] - row[column], low, high, "@green"))
    labels = [f"{label}: {value:.2f}" for label, value, *_ in shown]
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [value],
            "y": [labels[index]],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [high - value],
                "arrayminus": [value - low],
                "color": colour,
                "thickness": 1.5,
                "width": 4,
            },
            "marker": {"color": colour, "size": 9, "symbol": "x" if colour == "@quiet" else "circle"},
            "showlegend": False,
            "customdata": [[low, high]],
            "hovertemplate": "%{y} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>"
            if np.isfinite(low)
            else "%{y}<extra></extra>",
        }
        for index, (_, value, low, high, colour) in enumerate(shown)
    ]
    shapes = [vertical(0)] + ([vertical(threshold, colour="@vermillion", dash="dash")] if threshold is not None else [])
    layout = {
        "xaxis": {"title": {"text": "share restored (PM)"}, "range": reach([each[1:4] for each in shown])},
        "yaxis": {"categoryorder": "array", "categoryarray": labels[::-1]},
        "shapes": shapes,
    }
    pairs = f"{row['n_pairs']} pairs, {row['n_failed']} without an effect of their own. " if row else ""
    note = (
        f"{pairs}95% intervals over pairs, paired for the differences. Dashed: what the lower bound has to reach. {CUT}"
    )
    return Chart("Restoration, with its nulls", traces, layout, source, note, 130 + 40 * len(shown))


def few_digits(values: Iterable[float]) -> list[float]:
    """Values as exactly as they can be seen: every head of a large model has its own."""
    return [float(f"{value:.3g}") for value in values]


def decades(counts: pd.DataFrame) -> list[float]:
    """Ticks at 1, 2 and 5 of every decade that the bins cover; only 1 where they are many, more where few."""
    low, high = float(counts["low"].min()), float(counts["high"].max())
    steps: tuple[float, ...] = (1,) if high >= 100 * low else (1, 2, 5) if high >= 5 * low else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = [step * 10.0**decade for decade in range(-12, 1) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def reach(figures: list[tuple[float, float, float]]) -> list[float]:
    """Ends of the axis: all estimates, and intervals as far as they can be read beside them."""
    values = [float(np.clip(value, *FURTHEST)) for value, _, _ in figures if np.isfinite(value)]
    lows = [max(WIDEST[0], low) for _, low, _ in figures if np.isfinite(low)]
    highs = [min(WIDEST[1], high) for _, _, high in figures if np.isfinite(high)]
    low, high = min([0, *values, *lows]), max([1, *values, *highs])
    margin = 0.05 * (high - low)
    return [low - margin, high + margin]
