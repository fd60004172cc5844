"""Where a latent fires: the sequences of its largest activations, residue by residue, in the published viewer's schema.

Positions and segments are 0-based and inclusive there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import csc_array

from mints.features.activations import Tokens
from mints.features.concepts import Matrix

EXAMPLES, NEGATIVES = 8, 4
"""Sequences of each latent: of the largest activations anywhere, and of the largest in those without the behaviour."""

TOP_POSITIONS = 10
"""Residues that an example lists."""

MASK_PERCENTILE, MASK_REL_TO_MAX = 90, 0.5
"""A residue belongs to the latent's segments from the larger of this percentile of the sequence's activations and this
share of their maximum."""

DIGITS = 4
"""Significant digits of the activations that are written."""

Segment = tuple[int, int]
"""First and last residue."""


class Annotated(NamedTuple):
    """Sequences with the segments of a behaviour; none where a sequence does not have it."""

    accessions: Sequence[str]
    sequences: Sequence[str]
    segments: Sequence[Sequence[Segment]]


class Traces:
    """Activations of latents along sequences of which every residue has a place."""

    def __init__(self, latents: Matrix, tokens: Tokens, sequences: Sequence[str]) -> None:
        """latents: one row a token in the order of `tokens`, each of which is one residue."""
        self._by_latent = csc_array(latents)
        self._tokens = tokens
        self._lengths = [len(sequence) for sequence in sequences]

    def maxima(self, latent: int) -> Float[ndarray, "sequence"]:
        """Largest activation in each sequence; 0 where the latent is silent."""
        rows, values = self._entries(latent)
        largest = np.zeros(len(self._lengths), dtype=np.float32)
        np.maximum.at(largest, self._tokens.sequence[rows], values)
        return largest

    def along(self, latent: int, sequence: int) -> Float[ndarray, "residue"]:
        """Activations of one sequence, residue by residue; 0 where no token stands for a residue."""
        rows, values = self._entries(latent)
        mine = self._tokens.sequence[rows] == sequence
        track = np.zeros(self._lengths[sequence], dtype=np.float32)
        track[self._tokens.start[rows[mine]]] = values[mine]
        return track

    def _entries(self, latent: int) -> tuple[Int[ndarray, "entry"], Float[ndarray, "entry"]]:
        """Tokens on which the latent is active, and its values there."""
        first, last = self._by_latent.indptr[latent : latent + 2]
        return self._by_latent.indices[first:last], self._by_latent.data[first:last]


def feature_record(
    traces: Traces, annotated: Annotated, latent: int, behaviour: str
) -> dict[str, list[dict[str, Any]]]:
    """Examples of one latent: `examples` by descending activation, whatever the sequence, and `negatives`.

    Sequences in which the latent is silent are no examples.
    """
    maxima = traces.maxima(latent)
    order = [int(row) for row in np.argsort(-maxima, kind="stable") if maxima[row] > 0]
    without = [row for row in order if not annotated.segments[row]]
    chosen = {"examples": order[:EXAMPLES], "negatives": without[:NEGATIVES]}
    return {
        name: [example(traces.along(latent, row), annotated, row, behaviour) for row in rows]
        for name, rows in chosen.items()
    }


def example(track: Float[ndarray, "residue"], annotated: Annotated, row: int, behaviour: str) -> dict[str, Any]:
    """One sequence with the latent's activations and the segments of both."""
    threshold = max(float(np.percentile(track, MASK_PERCENTILE)), MASK_REL_TO_MAX * float(track.max()))
    fires = track >= threshold
    carried = covered(annotated.segments[row], len(track))
    top = np.argsort(-track, kind="stable")[:TOP_POSITIONS]
    return {
        "accession": annotated.accessions[row],
        "sequence": annotated.sequences[row],
        "seq_len": len(track),
        "behavior": behaviour,
        "behavior_segments": [list(segment) for segment in annotated.segments[row]],
        "feature_segments": [list(segment) for segment in runs(fires)],
        "top_positions": [{"pos": int(place), "act": _rounded(track[place])} for place in top],
        "max_act": _rounded(track.max()),
        "threshold": _rounded(threshold),
        "overlap_frac_feature_in_behavior": float((fires & carried).sum() / fires.sum()),
        "activations": [_rounded(value) for value in track],
    }


def runs(mask: Bool[ndarray, "residue"]) -> list[Segment]:
    """First and last place of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(last) - 1) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def covered(segments: Sequence[Segment], length: int) -> Bool[ndarray, "residue"]:
    """True at the residues of these segments."""
    mask = np.zeros(length, dtype=bool)
    for first, last in segments:
        mask[first : last + 1] = True
    return mask


def viewer_meta(
    model: str, behaviour: str, graph: str, data: str, layers: Sequence[int], longest: int, device: str
) -> Mapping[str, Any]:
    """Head of a features file. graph, data: names of the graph's file and of that of the sequences."""
    return {
        "model": model,
        "behavior": behaviour,
        "data_fasta": data,
        "graph_json": graph,
        "layers": list(layers),
        "top_examples_per_feature": EXAMPLES,
        "top_negatives_per_feature": NEGATIVES,
        "mask_percentile": MASK_PERCENTILE,
        "mask_rel_to_max": MASK_REL_TO_MAX,
        "top_positions_k": TOP_POSITIONS,
        "max_len": longest,
        "device": device,
    }


def _rounded(value: float) -> float:
    return float(f"{float(value):.{DIGITS}g}")
