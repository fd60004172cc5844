"""Sequences of different lengths into batches that waste little."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

from mints.models.compute import Compute
from mints.models.tokenizers import Encoding

Result = TypeVar("Result")


class Batch(NamedTuple):
    """Padded sequences, and which of the given ones they are."""

    rows: Int[ndarray, "batch"]
    """Indices into the encodings that were given."""

    tokens: Int[Tensor, "batch pos"]
    real: Bool[Tensor, "batch pos"]
    """False at pads."""

    content: Bool[Tensor, "batch pos"]
    """False at pads and special tokens."""


def length_buckets(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[Int[ndarray, "batch"]]:
    """Indices of batches of similar lengths, longest first, each at most `tokens_per_batch` tokens with its pads."""
    remaining = _longest_first(lengths)
    while len(remaining):
        bucket = _first_bucket(lengths, remaining, tokens_per_batch)
        yield bucket
        remaining = remaining[len(bucket) :]


def _longest_first(lengths: Sequence[int]) -> Int[ndarray, "row"]:
    """A batch that is too large for the device fails at once and not after an hour."""
    return np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")


def _first_bucket(
    lengths: Sequence[int], remaining: Int[ndarray, "row"], tokens_per_batch: int
) -> Int[ndarray, "batch"]:
    return remaining[: max(1, tokens_per_batch // max(1, lengths[remaining[0]]))]


def in_batches(
    function: Callable[[Int[ndarray, "batch"]], Result],
    lengths: Sequence[int],
    tokens_per_batch: int,
    compute: Compute,
) -> Iterator[tuple[Int[ndarray, "batch"], Result]]:
    """Rows of every length-bucketed batch with what `function` makes of them.

    Where the device runs out of memory the batch is halved, and so are all that follow. Raises MintsError where no
    batch is small enough.
    """
    remaining = _longest_first(lengths)
    while len(remaining):
        rows = _first_bucket(lengths, remaining, tokens_per_batch)
        result = _unless_out_of_memory(function, rows)
        if result is None:
            tokens_per_batch = compute.halve(tokens_per_batch)
            continue
        yield rows, result
        remaining = remaining[len(rows) :]


def _unless_out_of_memory(
    function: Callable[[Int[ndarray, "batch"]], Result], rows: Int[ndarray, "batch"]
) -> Result | None:
    """The function's result; None where memory did not suffice. What it held is free once this returns."""
    try:
        return function(rows)
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        if "can't allocate memory" in str(error):  # how torch says so on a CPU
            return None
        raise


def pad(encodings: Sequence[Encoding], rows: Int[ndarray, "batch"], pad_id: int) -> Batch:
    """Batch of the encodings at `rows`, padded on the right to the longest of them."""
    chosen = [encodings[row] for row in rows]
    length = max(len(encoding.ids) for encoding in chosen)
    tokens = np.full((len(chosen), length), pad_id, dtype=np.int64)
    real = np.zeros((len(chosen), length), dtype=bool)
    content = np.zeros((len(chosen), length), dtype=bool)
    for row, encoding in enumerate(chosen):
        n = len(encoding.ids)
        tokens[row, :n], real[row, :n], content[row, :n] = encoding.ids, True, ~encoding.special
    return Batch(rows, torch.from_numpy(tokens), torch.from_numpy(real), torch.from_numpy(content))


def batches(encodings: Sequence[Encoding], pad_id: int, tokens_per_batch: int) -> Iterator[Batch]:
    """All encodings in length-bucketed batches."""
    for rows in length_buckets(token_counts(encodings), tokens_per_batch):
        yield pad(encodings, rows, pad_id)


def token_counts(encodings: Sequence[Encoding]) -> list[int]:
    """Tokens of every encoding, special ones included."""
    return [len(encoding.ids) for encoding in encodings]
