"""Every content token of many sequences in flat arrays, with what a statistic of attention must know about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from mints.data.motif_scores import MotifScorer, Windows, token_scores, token_support
from mints.models.tokenizers import Encoding

NEIGHBOURHOOD = 50
"""Bases around a token's middle whose GC content is the token's."""


class TokenTable(NamedTuple):
    """One row per content token, sequence by sequence."""

    sequence: Int[ndarray, "token"]
    """Index of the sequence."""

    position: Int[ndarray, "token"]
    """Index in the encoding, special tokens counted."""

    length: Int[ndarray, "token"]
    """Bases."""

    to_end: Float[ndarray, "token"]
    """Bases from the token's middle to the nearer end of its sequence."""

    gc: Float[ndarray, "token"]
    """GC content of the `NEIGHBOURHOOD` bases around the token's middle."""


class TokenMotif(NamedTuple):
    """What one motif says about the tokens of a `TokenTable`."""

    bits: Float[ndarray, "token"]
    """Best log-odds of a window that overlaps the token; −inf where there is none."""

    support: Bool[ndarray, "token"]
    """The token overlaps a site by at least one base."""


def token_table(sequences: Sequence[str], encodings: Sequence[Encoding]) -> TokenTable:
    """Flat table of the content tokens of encoded sequences."""
    parts = [_rows(index, pair[0], pair[1]) for index, pair in enumerate(zip(sequences, encodings, strict=True))]
    return TokenTable(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _rows(index: int, sequence: str, encoding: Encoding) -> tuple[ndarray, ...]:
    position = np.flatnonzero(~encoding.special)
    start, end = encoding.spans[position].T
    middle = (start + end) / 2
    letters = np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)
    gc_before = np.concatenate([[0], np.cumsum((letters == ord("G")) | (letters == ord("C")))])
    low = np.clip(middle.astype(int) - NEIGHBOURHOOD // 2, 0, None)
    high = np.clip(middle.astype(int) + NEIGHBOURHOOD // 2, None, len(sequence))
    gc = (gc_before[high] - gc_before[low]) / np.maximum(high - low, 1)
    return np.full(len(position), index), position, end - start, np.minimum(middle, len(sequence) - middle), gc


def token_motif(
    scorer: MotifScorer,
    sites_of: Callable[[Windows, int], Int[ndarray, "site 2"]],
    windows: Sequence[Windows],
    encodings: Sequence[Encoding],
    labels: Sequence[int],
) -> TokenMotif:
    """Motif score and support of every content token, in the order of `token_table`.

    sites_of: coordinates of a sequence's sites, given its scored windows and its label.
    """
    bits, support = [], []
    for scored, encoding, label in zip(windows, encodings, labels, strict=True):
        spans = encoding.spans[~encoding.special]
        bits.append(token_scores(scored, scorer.width, spans))
        support.append(token_support(sites_of(scored, label), spans))
    return TokenMotif(np.concatenate(bits), np.concatenate(support))
