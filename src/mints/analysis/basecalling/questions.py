"""From pairs of signals and their scores to what each pair is asked (docs/methods.md, Basecaller)."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.basecalling.measures import (
    Question,
    Rivals,
    align,
    make_alternatives,
    steps_of_run,
)
from mints.data.nanopore.pairs import SignalPair

FLANK = 25
"""Samples on either side of where a pair differs over which the sequences' log-odds are taken as well: two bases."""

TRUE_SEQUENCES, CALLS, NO_ALTERNATIVE = "true sequences", "calls", "none"
"""Where a pair's two sequences come from."""


class Asked(NamedTuple):
    """The questions of many pairs."""

    question: Question
    alternative: list[str]
    """Where each pair's two sequences come from; those with none have log-odds of 0 for both sides."""

    run_start: Int[ndarray, "pair"]
    """First time step of the run."""

    run_end: Int[ndarray, "pair"]
    """Time step after its last."""


def ask(
    pairs: Sequence[SignalPair],
    clean_scores: Float[Tensor, "time pair column"],
    calls: Sequence[tuple[str, str]],
    state_length: int | None,
    samples_per_score: int,
) -> Asked:
    """What is asked of each pair.

    clean_scores: of the clean signals, to which the clean sequences are aligned. calls: what the model calls of the
    clean and of the corrupted signal.
    """
    alignment = align(clean_scores, [pair.clean_sequence for pair in pairs], state_length)
    first = np.array([pair.run_first for pair in pairs])
    steps = steps_of_run(alignment, first, first + [pair.run_length - 1 for pair in pairs])
    start = np.array([max(0, pair.start - FLANK) for pair in pairs]) // samples_per_score
    end = np.minimum(-(-np.array([pair.end + FLANK for pair in pairs]) // samples_per_score), len(clean_scores))
    candidates = [rivals_of(pair, *called) for pair, called in zip(pairs, calls, strict=True)]
    to_candidates = align(clean_scores, [rival.clean for rival in candidates], state_length)
    kept = [
        rival if _lies_within(to_candidates.base[row], rival, start[row], end[row]) else same_twice(pair)
        for row, (rival, pair) in enumerate(zip(candidates, pairs, strict=True))
    ]
    to_kept = align(clean_scores, [rival.clean for rival in kept], state_length)
    alternatives = make_alternatives(kept, to_kept, start, end, state_length)
    question = Question(alignment.correct, alignment.ways, torch.from_numpy(steps), alternatives)
    origins = [_origin(pair, rival) for pair, rival in zip(pairs, kept, strict=True)]
    return Asked(question, origins, steps.argmax(1), steps.shape[1] - steps[:, ::-1].argmax(1))


def rivals_of(pair: SignalPair, clean_call: str, corrupted_call: str) -> Rivals:
    """The true sequences where the corrupted signal has one; otherwise what is called of either signal."""
    if pair.corrupted_sequence is not None:
        end, more = pair.run_first + pair.run_length, len(pair.corrupted_sequence) - len(pair.clean_sequence)
        return Rivals(pair.clean_sequence, pair.corrupted_sequence, pair.run_first, end, end + more)
    if clean_call == corrupted_call:
        return same_twice(pair)
    before = len(commonprefix([clean_call, corrupted_call]))
    rests = clean_call[before:][::-1], corrupted_call[before:][::-1]
    after = len(commonprefix(rests))
    return Rivals(clean_call, corrupted_call, before, len(clean_call) - after, len(corrupted_call) - after)


def same_twice(pair: SignalPair) -> Rivals:
    """No alternative: the clean sequence against itself."""
    end = pair.run_first + pair.run_length
    return Rivals(pair.clean_sequence, pair.clean_sequence, pair.run_first, end, end)


def _lies_within(base: Int[ndarray, "border"], rival: Rivals, start: int, end: int) -> bool:
    """Whether all that differs, and the base after it, is read within the time steps that are looked at."""
    reads_on = rival.clean_end < len(rival.clean) and rival.corrupted_end < len(rival.corrupted)
    return bool(reads_on and base[start] < rival.first and base[end] >= rival.clean_end)


def _origin(pair: SignalPair, rival: Rivals) -> str:
    if rival.clean == rival.corrupted:
        return NO_ALTERNATIVE
    return CALLS if pair.corrupted_sequence is None else TRUE_SEQUENCES
