"""Pairs of nanopore signal: the current of both sides around the place where they differ, with the bases' borders."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from numpy import ndarray

from mints.report.page.blocks import Block, Chart, Choice
from mints.report.page.marks import LEGIBLE, Trace, named, vertical
from mints.report.page.panels import band, capital, legend_below, literal

SIGNAL = "pairs/pairs.npz"
SHOWN_PAIRS, MARGIN = 3, 60
"""Pairs of each kind, and samples shown on either side of a place."""

PLACES = {"homopolymer": "run of {length} {base}", "other": "{length} bases without a run"}
CORRUPTIONS = {
    "noise": "noise of {strength:g} standard deviations",
    "dampening": "dampened by {strength:.0%}",
    "repeat_more": "simulated with a repeat more",
    "repeat_fewer": "simulated with a repeat fewer",
}


def pair_choice(pairs: pd.DataFrame, arrays: Mapping[str, Shaped[ndarray, "..."]]) -> Choice:
    """A few pairs of each kind, with bases and lengths spread over those that there are."""
    options: dict[str, list[Block]] = {}
    for (group, corruption), rows in pairs.groupby(["group", "corruption"], sort=False):
        places = np.unique(np.linspace(0, len(rows) - 1, SHOWN_PAIRS).astype(int))
        shown = rows.iloc[places].to_dict("records")
        sampled = f" {len(shown)} of {len(rows)} pairs of this kind are shown."
        options[f"{group}, {corruption}"] = [pair_chart(row, arrays, sampled) for row in shown]
    return Choice("kind of pair", options)


def pair_chart(row: Mapping[Hashable, Any], arrays: Mapping[str, Shaped[ndarray, "..."]], sampled: str) -> Chart:
    """Current of both sides around the place where they differ, with the bases' borders."""
    own = {name: values[int(row["pair"])] for name, values in arrays.items()}
    start, end = int(row["start"]), int(row["end"])
    first, last = max(0, start - MARGIN), min(len(own["clean"]), end + MARGIN)
    time = np.arange(first, last) - start
    current = {side: own[side][first:last] * row["scale"] + row["shift"] for side in ("clean", "corrupted")}
    low = float(min(values.min() for values in current.values()))
    high = float(max(values.max() for values in current.values()))
    step = 0.11 * (high - low)
    traces: list[Trace] = []
    for place, (side, colour) in enumerate((("corrupted", "@vermillion"), ("clean", "@blue"))):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": side,
                "legendgroup": side,
                "x": time.tolist(),
                "y": current[side].tolist(),
                "line": {"color": colour, "width": 1.4},
                "hovertemplate": "sample %{x}: %{y:.1f} pA<extra>%{fullData.name}</extra>",
            }
        )
        sequence, borders = row[f"{side}_sequence"], own[f"{side}_boundaries"]
        if isinstance(sequence, str):
            letters = base_letters(sequence, borders, (first, last), start, high + (2 - place) * step)
            traces.append(letters | {"legendgroup": side, "textfont": {"color": colour, "size": 11}})
    edges = own["clean_boundaries"]
    borders = edges[(edges >= first) & (edges <= last)] - start
    layout = {
        "meta": LEGIBLE,
        "xaxis": {
            "title": {"text": "sample from the place's beginning"},
            "range": [first - start, last - start],
            "showgrid": False,
        },
        "yaxis": {"title": {"text": "current (pA)"}, "range": [low - step / 2, high + 3 * step]},
        "shapes": [band(0, end - start), *(vertical(float(border)) for border in np.unique(borders))],
        "legend": {**legend_below(330), "traceorder": "reversed"},
    }
    note = (
        f"{origin(row)} Shaded: where the sides may differ; dotted: borders of the clean side's bases; letters: the"
        f" bases of either side.{sampled}"
    )
    return Chart(title_of(row), traces, layout, SIGNAL, note, 330)


def base_letters(
    sequence: str, borders: Shaped[ndarray, "border"], shown: tuple[int, int], start: int, height: float
) -> Trace:
    """Every letter above the middle of its base's samples."""
    spans = list(zip(sequence, borders[:-1].tolist(), borders[1:].tolist(), strict=False))
    inside = [(letter, begin, end) for letter, begin, end in spans if shown[0] <= (begin + end) // 2 < shown[1]]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [(begin + end) / 2 - start for _, begin, end in inside],
        "y": [height] * len(inside),
        "text": [literal(letter) for letter, _, _ in inside],
        "customdata": [end - begin for _, begin, end in inside],
        "hovertemplate": "%{text}: %{customdata} samples<extra></extra>",
        "showlegend": False,
    }


def title_of(row: Mapping[Hashable, Any]) -> str:
    """The place and what was done to it."""
    place = PLACES.get(str(row["group"]), str(row["group"])).format(length=row["run_length"], base=row["base"])
    done = CORRUPTIONS.get(str(row["corruption"]), named(str(row["corruption"]))).format(strength=row["strength"])
    return f"Pair {row['pair']}: {place}, {done}"


def origin(row: Mapping[Hashable, Any]) -> str:
    """Where the pair's signal is from."""
    return f"{capital(str(row['source']))} signal, {row['read']} ({row['split']})."
