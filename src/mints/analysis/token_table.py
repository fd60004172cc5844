"""Every content token of many sequences in flat arrays, with what a statistic of attention must know about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
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

    start: Int[ndarray, "token"]
    """First base in its sequence."""

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
    return np.full(len(position), index), position, start, end - start, np.minimum(middle, len(sequence) - middle), gc


class SitePlaces(NamedTuple):
    """Sites of one motif in many sequences; all are as wide as the motif."""

    sequence: Int[ndarray, "site"]
    """Index of the sequence."""

    start: Int[ndarray, "site"]
    """First base in it."""


def site_places(sites: Sequence[Int[ndarray, "site 2"]]) -> SitePlaces:
    """Sites of every sequence, given as its half-open coordinates."""
    counts = [len(of_sequence) for of_sequence in sites]
    starts = np.concatenate([of_sequence[:, 0] for of_sequence in sites] or [np.zeros(0, dtype=np.int64)])
    return SitePlaces(np.repeat(np.arange(len(sites)), counts), starts.astype(np.int64))


def best_windows(windows: Sequence[Windows], count: int) -> SitePlaces:
    """The best `count` windows of all sequences (more where scores tie; none where there are fewer windows)."""
    bits, lengths = _flat(windows)
    threshold = float(np.partition(bits, -count)[-count]) if 0 < count <= len(bits) else np.inf
    chosen = np.flatnonzero(bits >= threshold)
    sequence = np.repeat(np.arange(len(lengths)), lengths)[chosen]
    return SitePlaces(sequence, chosen - (np.cumsum(lengths) - lengths)[sequence])


def token_motif(scorer: MotifScorer, windows: Sequence[Windows], sites: SitePlaces, tokens: TokenTable) -> TokenMotif:
    """Motif score and support of every token.

    All sequences are laid on one axis, width − 1 places without a window between them, so that no token reaches the
    windows of another sequence.
    """
    bits, lengths = _flat(windows)
    gaps = (scorer.width - 1) * np.arange(len(lengths))
    offsets = np.cumsum(lengths) - lengths + gaps
    axis = np.full(len(bits) + (scorer.width - 1) * len(lengths), -np.inf, dtype=np.float32)
    axis[np.arange(len(bits)) + np.repeat(gaps, lengths)] = bits
    start = tokens.start + offsets[tokens.sequence]
    spans = np.stack([start, start + tokens.length], axis=1)
    first = sites.start + offsets[sites.sequence]
    scores = token_scores(Windows(axis, np.ones(len(axis), dtype=np.int8)), scorer.width, spans)
    return TokenMotif(scores, token_support(np.stack([first, first + scorer.width], axis=1), spans))


def _flat(windows: Sequence[Windows]) -> tuple[Float32[ndarray, "window"], Int[ndarray, "sequence"]]:
    """Scores of all windows, sequence by sequence, and how many each sequence has."""
    lengths = np.array([len(of_sequence.bits) for of_sequence in windows], dtype=np.int64)
    return np.concatenate([of_sequence.bits for of_sequence in windows]), lengths
