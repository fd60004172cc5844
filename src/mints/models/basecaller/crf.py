"""The conditional random field over k-mer states whose transitions a basecaller scores (docs/methods.md, Basecaller).

A path starts in any state, takes one transition per time step, a stay or a move, and ends in any state. A state is the
last L bases, as a number in base 4 with the newest base least significant (A0 C1 G2 T3). `scores[t, n, 5 s]` is the
stay in s; `scores[t, n, 5 s + 1 + b]` the move into s from the state `b · 4^(L−1) + s // 4`, b being the base that
drops out. A path stands for a sequence: the L bases of its first state, and one base per move. So every sequence of at
least L bases has a log-score, the log-sum-exp over its paths, and over all sequences these sum up to the partition.

Log-likelihoods are small differences of large sums: hand in float64 scores where they are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from mints.models.basecaller.lattice import AllPaths, OnePath, arrivals, by_transition, posteriors, reach

BASES = "ACGT"


class Targets(NamedTuple):
    """Sequences of a batch as numbers."""

    bases: Int[Tensor, "read base"]
    """A0 C1 G2 T3; anything of 0 … 3 after a sequence's end."""

    lengths: Int[Tensor, "read"]


class Called(NamedTuple):
    """A decoded read."""

    sequence: str
    """The bases of the best path's first state, and the base of every move. (Bonito leaves out the first state's.)"""

    times: Int[ndarray, "base"]
    """Time step of the move that added each base; −1 for the bases of the first state."""

    score: float
    """Of the best path."""


def state_number(bases: str) -> int:
    """Number of the state that these last bases are."""
    return int("".join(str(BASES.index(base)) for base in bases), 4)


def transition_index(previous_state: int, base: int, state_length: int) -> int:
    """Where the move that adds `base` to `previous_state` stands in the last axis of the scores."""
    quarter: int = 4 ** (state_length - 1)
    dropped, kept = divmod(previous_state, quarter)
    return 5 * (4 * kept + base) + 1 + dropped


def stay_index(state: int) -> int:
    """Where the stay in `state` stands in the last axis of the scores."""
    return 5 * state


def as_targets(sequences: Sequence[str], device: torch.device | None = None) -> Targets:
    """Sequences of A, C, G and T, one per read. Raises ValueError for any other letter."""
    width = max(map(len, sequences), default=0)
    rows = np.zeros((len(sequences), width), dtype=np.int64)
    for row, sequence in zip(rows, sequences, strict=True):
        letters = np.frombuffer(sequence.encode(), dtype=np.uint8)
        codes = np.searchsorted(np.frombuffer(BASES.encode(), dtype=np.uint8), letters).clip(max=3)
        if sequence != "".join(BASES[code] for code in codes):
            raise ValueError(f"a sequence to score has letters other than {BASES}")
        row[: len(sequence)] = codes
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
    return Targets(torch.from_numpy(rows).to(device), lengths.to(device))


def log_partition(scores: Float[Tensor, "time read transition"], state_length: int) -> Float[Tensor, "read"]:
    """Log-sum-exp of the scores of all paths. Differentiable once; the gradient is the transitions' posterior."""
    _check_width(scores, state_length)
    total: Tensor = AllPaths.apply(scores)  # type: ignore[no-untyped-call]
    return total


def sequence_log_score(
    scores: Float[Tensor, "time read transition"], sequences: Sequence[str] | Targets, state_length: int
) -> Float[Tensor, "read"]:
    """Log-sum-exp of the scores of the paths that stand for each read's sequence. Differentiable once.

    Raises ValueError where a sequence is shorter than a state, or needs more moves than there are time steps.
    """
    targets = sequences if isinstance(sequences, Targets) else as_targets(sequences, scores.device)
    stays, moves, last = _ladder(scores, targets, state_length)
    total: Tensor = OnePath.apply(stays, moves, last)  # type: ignore[no-untyped-call]
    return total


def log_likelihood(
    scores: Float[Tensor, "time read transition"], sequences: Sequence[str] | Targets, state_length: int
) -> Float[Tensor, "read"]:
    """Log-probability of each read's sequence in nats: its score over the partition."""
    return sequence_log_score(scores, sequences, state_length) - log_partition(scores, state_length)


def transition_posteriors(
    scores: Float[Tensor, "time read transition"], state_length: int
) -> Float[Tensor, "time read transition"]:
    """Probability of every transition at every time step, over all paths; each time step sums to 1."""
    _check_width(scores, state_length)
    with torch.no_grad():
        return posteriors(scores, *reach(scores))


def decode(scores: Float[Tensor, "time read transition"], state_length: int) -> list[Called]:
    """The best path of each read (Viterbi). Of equal paths the one that stays, then the one of the first base."""
    _check_width(scores, state_length)
    with torch.no_grad():
        steps = by_transition(scores)
        reads, states = steps.shape[1], steps.shape[3]
        choices = torch.empty(len(steps), reads, states, dtype=torch.uint8, device=steps.device)
        best = torch.zeros(reads, states, dtype=steps.dtype, device=steps.device)
        for time, step in enumerate(steps):
            ways = step.clone()
            ways[:, 0] += best
            ways[:, 1:].view(reads, 4, states // 4, 4).add_(arrivals(best))
            best, choice = ways.max(1)
            choices[time] = choice
        score, end = best.max(1)
    moves, state = _trace(choices.cpu().numpy(), end.cpu().numpy(), state_length)
    first = [f"{int(number):0{state_length}d}" for number in map(np.base_repr, state, [4] * reads)]
    return [
        Called(
            "".join(BASES[int(digit)] for digit in first[read]) + "".join(BASES[b] for _, b in reversed(moves[read])),
            np.array([-1] * state_length + [time for time, _ in reversed(moves[read])], dtype=np.int64),
            float(score[read]),
        )
        for read in range(reads)
    ]


def align(
    scores: Float[Tensor, "time read transition"], sequences: Sequence[str], state_length: int
) -> list[Int[ndarray, "base"]]:
    """Time step of every base on the best path that stands for each read's sequence; −1 for the first state's bases.

    Raises ValueError as `sequence_log_score` does.
    """
    with torch.no_grad():
        stays, moves, last = _ladder(scores, as_targets(sequences, scores.device), state_length)
        best = torch.full_like(stays[0], -torch.inf)
        best[:, 0] = 0.0
        moved = torch.zeros(stays.shape, dtype=torch.bool, device=stays.device)
        for time in range(len(stays)):
            staying, moving = best + stays[time], best[:, :-1] + moves[time, :, 1:]
            moved[time, :, 1:] = moving > staying[:, 1:]
            best = staying
            best[:, 1:] = torch.maximum(staying[:, 1:], moving)
    chosen, place = moved.cpu().numpy(), last.cpu().numpy()
    times = [np.full(len(sequence), -1, dtype=np.int64) for sequence in sequences]
    for time in range(len(chosen) - 1, -1, -1):
        for read in np.flatnonzero(chosen[time, np.arange(len(place)), place]):
            times[read][place[read] + state_length - 1] = time
            place[read] -= 1
    return times


def _trace(
    choices: ndarray, end: ndarray, state_length: int
) -> tuple[list[list[tuple[int, int]]], Int[ndarray, "read"]]:
    """Moves of each read from the last to the first as (time step, base), and the states in which paths begin."""
    quarter = 4 ** (state_length - 1)
    state, every = end.astype(np.int64), np.arange(len(end))
    moves: list[list[tuple[int, int]]] = [[] for _ in every]
    for time in range(len(choices) - 1, -1, -1):
        choice = choices[time, every, state].astype(np.int64)
        for read in np.flatnonzero(choice):
            moves[read].append((time, int(state[read] % 4)))
        state = np.where(choice > 0, (choice - 1) * quarter + state // 4, state)
    return moves, state


def _ladder(
    scores: Float[Tensor, "time read transition"], targets: Targets, state_length: int
) -> tuple[Float[Tensor, "time read place"], Float[Tensor, "time read place"], Int[Tensor, "read"]]:
    """Scores of the stays in the target's states and of the moves into them, and the last state's place."""
    _check_width(scores, state_length)
    bases, lengths = targets.bases.long(), targets.lengths.long()
    if int(lengths.min()) < state_length:
        raise ValueError(f"a sequence of {int(lengths.min())} bases is shorter than a state of {state_length}")
    if int(lengths.max()) - state_length > len(scores):
        raise ValueError(f"{int(lengths.max())} bases do not fit into {len(scores)} time steps")
    places = bases.shape[1] - state_length + 1
    states = sum(bases[:, i : i + places] * 4 ** (state_length - 1 - i) for i in range(state_length))
    assert isinstance(states, Tensor)
    dropped = torch.nn.functional.pad(bases[:, : places - 1], (1, 0))
    index = torch.stack([5 * states, 5 * states + 1 + dropped]).view(2, 1, len(bases), places)
    stays, moves = (scores.gather(2, part.expand(len(scores), -1, -1)) for part in index)
    return stays, moves, lengths - state_length


def _check_width(scores: Float[Tensor, "time read transition"], state_length: int) -> None:
    expected = 5 * 4**state_length
    if scores.ndim != 3 or scores.shape[2] != expected:
        raise ValueError(
            f"scores are {tuple(scores.shape)}: states of {state_length} bases need {expected} transitions"
        )
