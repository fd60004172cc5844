"""What a view is made of: plain values that become JSON in the page, and that its script draws.

Nothing here is HTML: names from data are shown as text, whatever letters they have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

SIGNIFICANT = 5
"""Digits of a number in the page; the artifacts have all of them."""

MEASURES = {"auroc": "AUROC", "auprc": "AUPRC", "mcc": "MCC", "f1": "F1", "l0": "L0", "rho": "ρ", "pm": "PM"}
MEASURES |= {"qk": "QK", "ov": "OV", "gc": "GC", "dms": "DMS", "blosum62": "BLOSUM62"}
"""Words of column names that a reader writes otherwise."""

Tone = Literal["yes", "no", "open"]

EXPLORATORY = "Exploratory: "
"""Begins the answer of a claim whose rule was set after results had been seen."""


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    paragraphs: Sequence[str]
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Missing:
    """Something that this run has not saved, and what makes it."""

    what: str
    advice: str
    kind: str = field(default="missing", init=False)


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads to a place of the page, such as `#/head/ctcf/L2H0`."""

    text: str
    address: str


@dataclass(frozen=True)
class Table:
    """A table that sorts, filters and downloads as CSV; beside a column `site`, each `latent` links to its page."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    source: str
    """Artifact that it was made from."""

    note: str = ""
    page_length: int = 10
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Chart:
    """A Plotly figure: `data` and `layout` as Plotly has them; colours of text and background are the page's."""

    title: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    source: str
    note: str = ""
    height: int = 360
    latents: Sequence[tuple[str, int]] = ()
    """Site and number of those that it shows: below it stand links to their pages."""

    kind: str = field(default="chart", init=False)


@dataclass(frozen=True)
class Widget:
    """A part with a script of its own."""

    kind: str
    title: str
    content: Mapping[str, Any]
    source: str
    note: str = ""


@dataclass(frozen=True)
class Choice:
    """Blocks of which one group is shown at a time: one per question, task or site."""

    label: str
    options: Mapping[str, Sequence[Block]]
    kind: str = field(default="choice", init=False)


Block = Text | Missing | Table | Chart | Widget | Choice


class Claim(NamedTuple):
    """A sentence of the front page, with its numbers."""

    question: str
    answer: str
    tone: Tone
    """Whether the answer is yes or no; `open` where the run could not have told."""


class View(NamedTuple):
    """One chapter of the page."""

    anchor: str
    title: str
    question: str
    """What it answers, in a sentence below the title."""

    blocks: Sequence[Block]
    claims: Sequence[Claim] = ()
    chapter: str = ""
    """Short title for the list of chapters; default the title."""


def table_block(table: pd.DataFrame, title: str, source: str, *, note: str = "", page_length: int = 10) -> Table:
    """A data frame as a table, its columns named as a reader would."""
    columns = [heading(str(column)) for column in table.columns]
    return Table(title, columns, [list(row) for row in table.itertuples(index=False)], source, note, page_length)


def heading(column: str) -> str:
    """A column's name as a reader writes it."""
    return " ".join(MEASURES.get(word, word) for word in column.split("_"))


def plain(value: Any) -> Any:
    """JSON of blocks: floats of few digits, NaN as null, numpy's numbers as Python's; no chart without a value."""
    if isinstance(value, Chart) and not holds_values(value):
        return plain(Missing(value.title, f"{value.source} has no value to draw here"))
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.{SIGNIFICANT}g}") if math.isfinite(value) else None
    return None if value is None or value is pd.NA else str(value)


def holds_values(chart: Chart) -> bool:
    """Whether any trace has something to draw: on each of its axes at least one value that is one."""
    axes = [[trace[axis] for axis in ("x", "y", "z") if axis in trace] for trace in chart.data]
    return any(of_trace and all(map(filled, of_trace)) for of_trace in axes)


def filled(values: Any) -> bool:
    """Whether anything in a nested sequence is a name or a number."""
    if isinstance(values, Sequence | np.ndarray) and not isinstance(values, str):
        return any(filled(value) for value in values)
    return values is not None and values == values  # NaN is not itself
