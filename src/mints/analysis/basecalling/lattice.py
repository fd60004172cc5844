"""The ways in which scores can spell a given sequence: forward score and best path (docs/methods.md, Basecaller).

A lattice is a row of nodes from left to right. At every time step a path stays at its node or goes on to the next; each
of the two takes one column of the scores. A CRF's nodes are the sequence's states (its last bases); a CTC head's are
its bases with a blank between any two, which a path may leave out where the bases differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from mints.models.basecaller.crf import as_targets, stay_index, transition_index

TRANSITIONS = 5
"""Ways to go on from a state: stay, or one of four bases."""

NEVER = -1e30
"""Log-score of what cannot be; finite, so that sums of it stay numbers."""


class Lattice(NamedTuple):
    """Lattices of a batch of sequences; rows are padded with nodes that no path may end in."""

    stay: Int[Tensor, "row node"]
    """Column of a step that stays at the node."""

    step: Int[Tensor, "row node"]
    """Column of a step into the node from the one before it; of the first node unused."""

    skips: Bool[Tensor, "row node"]
    """Whether a path may come into the node from the last but one."""

    onward: Int[Tensor, "row node transition"]
    """Columns of all ways to go on from the node, staying first, then by base."""

    base: Int[Tensor, "row node"]
    """Index in the sequence of the base that was read last; -1 before the first."""

    starts: Bool[Tensor, "row node"]
    """Nodes in which a path may stand before the first step."""

    ends: Bool[Tensor, "row node"]
    """Nodes in which a path may stand after the last step."""


class _Nodes(NamedTuple):
    """Nodes of one sequence."""

    stay: list[int]
    step: list[int]
    skips: list[bool]
    onward: list[list[int]]
    base: list[int]


@cache
def _ways_on(state: int, state_length: int) -> list[int]:
    """Columns of the stay and of the four moves that leave a state."""
    return [stay_index(state), *(transition_index(state, base, state_length) for base in range(4))]


def _crf_nodes(bases: list[int], state_length: int) -> _Nodes:
    if len(bases) < state_length:
        raise ValueError(f"a sequence of {len(bases)} bases is shorter than a state of {state_length}")
    places = range(len(bases) - state_length + 1)
    states = [sum(4**i * base for i, base in enumerate(reversed(bases[k : k + state_length]))) for k in places]
    step = [0] + [
        transition_index(state, base, state_length)
        for state, base in zip(states[:-1], bases[state_length:], strict=True)
    ]
    onward = [_ways_on(state, state_length) for state in states]
    last = [place + state_length - 1 for place in places]
    return _Nodes([stay_index(state) for state in states], step, [False] * len(states), onward, last)


def _ctc_nodes(bases: list[int]) -> _Nodes:
    symbols = [0]
    for base in bases:
        symbols += [1 + base, 0]
    skips = [k > 1 and symbols[k] > 0 and symbols[k] != symbols[k - 2] for k in range(len(symbols))]
    last = [(k - 1) // 2 for k in range(len(symbols))]
    return _Nodes(symbols, symbols, skips, [list(range(TRANSITIONS))] * len(symbols), last)


def make_lattice(
    sequences: Sequence[str],
    state_length: int | None,
    *,
    starts: Callable[[int], bool] = lambda base: False,
    end_from: Sequence[int] | None = None,
) -> Lattice:
    """Lattices of these sequences.

    state_length: bases of a CRF's state; None for a CTC head, whose columns are blank, A, C, G, T. A path stands at the
    first node before the first step, or at any whose last base (index) `starts` allows, and ends in the last node (of
    a CTC head one of the last two), or at any node that has read the base `end_from` of its sequence.
    Raises ValueError for a sequence that is shorter than a state, or has other letters.
    """
    numbers = [row[:n] for row, n in zip(*(part.tolist() for part in as_targets(sequences)), strict=True)]
    rows = [_ctc_nodes(bases) if state_length is None else _crf_nodes(bases, state_length) for bases in numbers]
    width = max((len(row.stay) for row in rows), default=0)

    def padded(values: list[list[int]] | list[list[bool]], fill: int | bool) -> Tensor:
        return torch.tensor([row + [fill] * (width - len(row)) for row in values])

    last = [len(sequence) - 1 for sequence in sequences] if end_from is None else end_from
    allowed = [[k == 0 or starts(base) for k, base in enumerate(row.base)] for row in rows]
    final = [[base >= first for base in row.base] for row, first in zip(rows, last, strict=True)]
    nothing = [0] * TRANSITIONS
    onward = [[*row.onward, *[nothing] * (width - len(row.stay))] for row in rows]
    return Lattice(
        padded([row.stay for row in rows], 0),
        padded([row.step for row in rows], 0),
        padded([row.skips for row in rows], False),
        torch.tensor(onward),
        padded([row.base for row in rows], -1),
        padded(allowed, False),
        padded(final, False),
    )


def side_by_side(first: Lattice, second: Lattice) -> Lattice:
    """Both lattices of every row, on an axis between row and node."""
    width = max(first.stay.shape[1], second.stay.shape[1])

    def padded(part: Tensor) -> Tensor:
        missing = width - part.shape[1]
        return functional.pad(part, (0, 0, 0, missing) if part.ndim == 3 else (0, missing))

    return Lattice(*(torch.stack([padded(a), padded(b)], dim=1) for a, b in zip(first, second, strict=True)))


class Window(NamedTuple):
    """Time steps of each row, padded on the right."""

    time: Int[Tensor, "row step"]
    real: Bool[Tensor, "row step"]


def make_window(start: Int[ndarray, "row"], end: Int[ndarray, "row"]) -> Window:
    """Half-open stretches of time steps."""
    longest = int((end - start).max(initial=0))
    time = torch.from_numpy(np.asarray(start, dtype=np.int64))[:, None] + torch.arange(longest)
    real = time < torch.from_numpy(np.asarray(end, dtype=np.int64))[:, None]
    return Window(torch.where(real, time, time[:, :1]), real)


def path_score(
    scores: Float[Tensor, "time row column"], lattice: Lattice, window: Window
) -> Float[Tensor, "row *sequence"]:
    """Log Σ exp of the scores of all paths through each row's lattices, over its time steps; float64.

    The lattice may have further axes between row and node: several sequences of one row. The forward recursion is
    a_t(k) = log(e^(a_{t−1}(k) + stay) + e^(a_{t−1}(k−1) + step) [+ e^(a_{t−1}(k−2) + step)]).
    """
    forward = torch.where(lattice.starts, 0.0, NEVER).double().to(scores.device)
    may_skip = bool(lattice.skips.any())
    for stay, step, real in _steps(scores, lattice, window):
        staying, stepping = forward + stay, _shifted(forward, 1) + step
        summed = torch.logaddexp(staying, stepping)
        if may_skip:
            summed = torch.logaddexp(summed, _skipping(forward, lattice, step))
        forward = torch.where(real, summed, forward)
    return torch.logsumexp(torch.where(lattice.ends.to(scores.device), forward, NEVER), dim=-1)


def best_path(scores: Float[Tensor, "time row column"], lattice: Lattice, window: Window) -> Int[Tensor, "row step"]:
    """Node in which the best path of each row stands before its first step and after every one (Viterbi 1967).

    The first column is the node before the first step; at padded steps the path stays.
    """
    best = torch.where(lattice.starts, 0.0, NEVER).double().to(scores.device)
    came: list[Tensor] = []
    for stay, step, real in _steps(scores, lattice, window):
        ways = torch.stack([best + stay, _shifted(best, 1) + step, _skipping(best, lattice, step)])
        value, way = ways.max(dim=0)
        best = torch.where(real, value, best)
        came.append(torch.where(real, way, 0))
    node = torch.where(lattice.ends.to(scores.device), best, NEVER).argmax(dim=1)
    nodes = [node]
    for way in reversed(came):
        node = node - way.gather(1, node[:, None])[:, 0]
        nodes.append(node)
    return torch.stack(nodes[::-1], dim=1)


def _steps(scores: Tensor, lattice: Lattice, window: Window) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Scores of staying and of stepping at every time step, and whether the step is real."""
    rows = torch.arange(scores.shape[1], device=scores.device)
    seen = scores[window.time.T.to(scores.device), rows]
    shape = lattice.stay.shape
    of_nodes = [
        seen.gather(2, columns.to(scores.device).flatten(1).expand(len(seen), -1, -1)).double().view(-1, *shape)
        for columns in (lattice.stay, lattice.step)
    ]
    real = window.real.T.to(scores.device).view(-1, shape[0], *[1] * (len(shape) - 1))
    return zip(*of_nodes, real, strict=True)


def _shifted(value: Float[Tensor, "row *sequence node"], nodes: int) -> Float[Tensor, "row *sequence node"]:
    """Each node's value from the one so many nodes before it."""
    return functional.pad(value, (nodes, 0), value=NEVER)[..., :-nodes]


def _skipping(value: Tensor, lattice: Lattice, step: Tensor) -> Tensor:
    return torch.where(lattice.skips.to(value.device), _shifted(value, 2), NEVER) + step
