"""What a patch of a basecaller is judged by: the correct transitions' scores, and the sequences' log-odds.

Both are read from the scores alone (docs/methods.md, Basecaller): time step by time step along the clean path, and
summed over all paths that spell the clean sequence, or the corrupted one, around the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from mints.analysis.basecalling.lattice import (
    Lattice,
    Window,
    best_path,
    make_lattice,
    make_window,
    path_score,
    side_by_side,
)

SLACK = 6
"""Bases at either end of a chunk that an alignment may leave out: which of them a chunk holds is a matter of taste."""


class Alignment(NamedTuple):
    """Best path of every chunk's scores through its sequence."""

    correct: Int[Tensor, "pair time"]
    """Column of the transition that the path takes."""

    ways: Int[Tensor, "pair time transition"]
    """Columns of all five ways to go on from where the path stood."""

    base: Int[ndarray, "pair border"]
    """Index of the base that was read last, before the first time step and after every one."""


def align(scores: Float[Tensor, "time pair column"], sequences: Sequence[str], state_length: int | None) -> Alignment:
    """Best path of each chunk that spells its sequence, up to `SLACK` bases at either end.

    state_length: bases of a CRF's state, None for a CTC head.
    """
    time = np.full(len(sequences), len(scores))
    lattice = make_lattice(
        sequences,
        state_length,
        starts=lambda base: base < (state_length or 0) + SLACK,
        end_from=[max(0, len(sequence) - 1 - SLACK) for sequence in sequences],
    )
    nodes = best_path(scores, lattice, make_window(np.zeros_like(time), time)).cpu()
    before, after = nodes[:, :-1], nodes[:, 1:]
    correct = torch.where(before == after, lattice.stay.gather(1, after), lattice.step.gather(1, after))
    ways = lattice.onward.gather(1, before[..., None].expand(-1, -1, lattice.onward.shape[2]))
    return Alignment(correct, ways, lattice.base.gather(1, nodes).numpy())


def steps_of_run(
    alignment: Alignment, first: Int[ndarray, "pair"], last: Int[ndarray, "pair"]
) -> Bool[ndarray, "pair time"]:
    """Time steps that decide a run's length: from the one that reads its first base to the one that reads the next.

    first, last: indices of the run's first and last base.
    """
    before, after = alignment.base[:, :-1], alignment.base[:, 1:]
    steps: Bool[ndarray, "pair time"] = (after >= first[:, None]) & (before <= last[:, None])
    return steps


class Alternatives(NamedTuple):
    """The clean and the corrupted sequence around each pair's run, as lattices over the same time steps."""

    lattices: Lattice
    """Of each pair the clean sequence's and the corrupted one's."""

    window: Window


class Question(NamedTuple):
    """What is asked of each pair's scores."""

    correct: Int[Tensor, "pair time"]
    ways: Int[Tensor, "pair time transition"]
    run: Bool[Tensor, "pair time"]
    """Time steps over which the correct transitions' log-odds are averaged."""

    alternatives: Alternatives


class Rivals(NamedTuple):
    """One pair's two sequences: what stands before and after the place where they differ is shared."""

    clean: str
    corrupted: str
    first: int
    """Index of the first base that may differ."""

    clean_end: int
    corrupted_end: int
    """Index of the first base after it, in either."""


def make_alternatives(
    rivals: Sequence[Rivals],
    alignment: Alignment,
    start: Int[ndarray, "pair"],
    end: Int[ndarray, "pair"],
    state_length: int | None,
) -> Alternatives:
    """Lattices over the time steps [start, end) of each pair. alignment: of the rivals' clean sequences.

    A path begins in the state in which the clean path stands there, and has to read the first base after the place
    where the sequences differ; how much it reads beyond is free, so that a shift of what follows weighs on neither.
    """
    clean, corrupted, clean_last, corrupted_last = [], [], [], []
    for pair, rival in enumerate(rivals):
        reached = int(alignment.base[pair, start[pair]])
        context = max(0, min(reached, rival.first - 1) - state_length + 1) if state_length else reached + 1
        clean.append(rival.clean[context:])
        corrupted.append(rival.corrupted[context:])
        clean_last.append(rival.clean_end - context)
        corrupted_last.append(rival.corrupted_end - context)
    longest = int((end - start).max(initial=0)) + (state_length or 0)
    lattices = side_by_side(
        make_lattice([s[:longest] for s in clean], state_length, end_from=clean_last),
        make_lattice([s[:longest] for s in corrupted], state_length, end_from=corrupted_last),
    )
    return Alternatives(lattices, make_window(start, end))


def transition_log_odds(
    scores: Float[Tensor, "time row column"], correct: Int[Tensor, "row time"], ways: Int[Tensor, "row time transition"]
) -> Float[Tensor, "row time"]:
    """Score of the correct transition less log Σ exp of the four others that leave the same state; float64."""
    columns = ways.to(scores.device)
    of_ways = scores.transpose(0, 1).gather(2, columns).double()
    is_correct = columns == correct.to(scores.device)[..., None]
    right = torch.where(is_correct, of_ways, 0.0).sum(-1)
    return right - torch.logsumexp(of_ways.masked_fill(is_correct, -torch.inf), dim=-1)


def sequence_log_odds(scores: Float[Tensor, "time row column"], alternatives: Alternatives) -> Float[Tensor, "row"]:
    """Log p(clean sequence) − log p(corrupted sequence) around the run; the partition function cancels; float64."""
    clean, corrupted = path_score(scores, alternatives.lattices, alternatives.window).unbind(1)
    return clean - corrupted


def read_scores(scores: Float[Tensor, "time pair column"], question: Question) -> Float[Tensor, "pair figure"]:
    """All figures of every pair: mean log-odds over the run, the sequences' log-odds, and each time step's log-odds."""
    track = transition_log_odds(scores, question.correct, question.ways)
    run = question.run.to(scores.device)
    mean = (track * run).sum(1) / run.sum(1)
    return torch.cat([torch.stack([mean, sequence_log_odds(scores, question.alternatives)], dim=1), track], dim=1)
