"""Signal pairs as one table and a few arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from mints.data.nanopore.pairs import SignalPair

ARRAYS = ("clean", "corrupted", "clean_boundaries", "corrupted_boundaries")
"""Fields that are arrays; all others are columns."""

TEXTS = ("clean_sequence", "corrupted_sequence", "clean_call", "corrupted_call")
"""Columns that may be empty: an empty cell is None, save for a call without a base."""

COLUMNS = [name for name in SignalPair._fields if name not in ARRAYS]


def pair_table(pairs: Sequence[SignalPair]) -> pd.DataFrame:
    """A row for each pair, numbered from 0 as the rows of the arrays are."""
    table = pd.DataFrame([[getattr(pair, name) for name in COLUMNS] for pair in pairs], columns=COLUMNS)
    table.insert(0, "pair", np.arange(len(pairs)))
    return table


def pair_arrays(pairs: Sequence[SignalPair]) -> dict[str, ndarray]:
    """Signals `clean` and `corrupted` [pair, sample], and the boundaries of both, filled up with −1.

    Raises ValueError where the signals differ in length, or there is no pair.
    """
    signals = {name: np.stack([getattr(pair, name) for pair in pairs]) for name in ARRAYS[:2]}
    return signals | {name: _filled([getattr(pair, name) for pair in pairs]) for name in ARRAYS[2:]}


def pairs_of(table: pd.DataFrame, arrays: Mapping[str, ndarray]) -> list[SignalPair]:
    """The pairs of a table and its arrays as they were, also after both have been written and read."""
    rows = table[COLUMNS].to_dict("records")
    pairs = []
    for number, row in enumerate(rows):
        fields: dict[str, Any] = {str(name): value for name, value in row.items()}
        fields |= {name: fields[name] if isinstance(fields[name], str) else None for name in TEXTS}
        fields |= {name: arrays[name][number] for name in ARRAYS[:2]}
        fields |= {name: arrays[name][number][arrays[name][number] >= 0] for name in ARRAYS[2:]}
        pairs.append(SignalPair(**fields))
    return pairs


def _filled(rows: Sequence[Int[ndarray, "border"]]) -> Int[ndarray, "pair border"]:
    filled = np.full((len(rows), max(len(row) for row in rows)), -1, dtype=np.int64)
    for into, row in zip(filled, rows, strict=True):
        into[: len(row)] = row
    return filled
