"""Sequences of different lengths into batches that waste little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

from mints.models.tokenizers import Encoding


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
    """Indices of batches of similar lengths, longest first, each at most `tokens_per_batch` tokens with its pads.

    The longest come first, so that a batch too large for the device fails at once and not after an hour.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        stop = start + max(1, tokens_per_batch // longest)
        yield order[start:stop]
        start = stop


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
    for rows in length_buckets([len(encoding.ids) for encoding in encodings], tokens_per_batch):
        yield pad(encodings, rows, pad_id)
