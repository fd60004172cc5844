"""Pairs of signals for activation patching, clean and corrupted: the same samples everywhere but in one short place.

Definitions: docs/methods.md, Signal pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

Group = Literal["homopolymer", "other"]
Corruption = Literal["noise", "dampening", "repeat_more", "repeat_fewer"]

GROUPS: tuple[Group, ...] = ("homopolymer", "other")
CORRUPTIONS: tuple[Corruption, ...] = ("noise", "dampening", "repeat_more", "repeat_fewer")
RUN_LENGTHS = tuple(range(3, 9))
"""Bases of a run, and of the stretch without a run that is held against it."""

Source = Literal["simulated", "read"]
"""Whether the clean signal was simulated, its sequence being the truth, or is a read's, its sequence a model's call."""

SPLITS = ("validation", "test")

Caller = Callable[[Float32[ndarray, "signal sample"]], list[str]]
"""What a model calls of normalised signals of equal length. A study hands it in: data know no model."""


class Ladder(NamedTuple):
    """Strengths that are tried in turn, from the weakest on."""

    noise: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """Standard deviation of the added noise, in units of the normalised signal's standard deviation."""

    dampening: tuple[float, ...] = (0.5, 0.75, 0.9, 1.0)
    """Share of the distance from the local mean that is taken away; 1 leaves a flat line."""

    def of(self, corruption: Corruption) -> tuple[float, ...]:
        """The strengths of one corruption; those by re-simulation have none."""
        return {"noise": self.noise, "dampening": self.dampening}.get(corruption, ())


DEFAULT_LADDER = Ladder()


class SignalPair(NamedTuple):
    """Two signals of equal length that are the same outside [start, end)."""

    clean: Float32[ndarray, "sample"]
    corrupted: Float32[ndarray, "sample"]
    """Both normalised by the clean read's shift and scale, so that the corruption moves nothing outside its place."""

    group: Group
    """homopolymer: a run of one base; other: a stretch of as many bases of which no two neighbours are equal."""

    base: str
    """The run's base; of the other group the base in the middle of the stretch."""

    run_length: int
    """Bases of the run or stretch on the clean side."""

    corruption: Corruption
    strength: float
    """Of noise and dampening, as in `Ladder`; bases more (1) or fewer (-1) of a re-simulation."""

    clean_sequence: str
    """Bases of the clean signal: the true ones of a simulated read, the model's own call of a real one."""

    corrupted_sequence: str | None
    """True bases of the corrupted signal, where it has any: None for noise and dampening."""

    clean_boundaries: Int[ndarray, "border"]
    corrupted_boundaries: Int[ndarray, "corrupted_border"]
    """Sample at which each base begins, and at which the last one ends. The first and last base may be cut off by the
    signal's ends. Without a true corrupted sequence the clean side's."""

    start: int
    end: int
    """Samples of the run or stretch; where it was simulated anew also of the bases beside it that changed with it."""

    run_first: int
    """Number of the run's or stretch's first base in the clean sequence."""

    affected: int
    """Number of the base in the clean sequence that is repeated or left out: the run's last, the stretch's middle."""

    source: Source
    read: str
    split: str
    """validation or test; all pairs of a read are in one of them."""

    shift: float
    scale: float
    """Current in pA = signal · scale + shift."""

    clean_call: str | None = None
    corrupted_call: str | None = None
    """What the model calls of both signals, where one was asked."""


def corrupt(
    signal: Float32[ndarray, "sample"],
    start: int,
    end: int,
    corruption: Corruption,
    strength: float,
    noise: Float32[ndarray, "place"],
) -> Float32[ndarray, "sample"]:
    """The signal with the samples from start to end noisier, or nearer to their own mean.

    noise: standard normal draws for these samples, the same at every strength. Raises ValueError for a corruption that
    takes a re-simulation.
    """
    changed = signal.copy()
    place = signal[start:end]
    if corruption == "noise":
        changed[start:end] = place + np.float32(strength) * signal.std() * noise
    elif corruption == "dampening":
        changed[start:end] = place + np.float32(strength) * (place.mean() - place)
    else:
        raise ValueError(f"{corruption} changes the sequence and not only the signal")
    return changed


class Rung(NamedTuple):
    """The corruption that was taken from a ladder."""

    signal: Float32[ndarray, "sample"]
    strength: float
    clean_call: str | None
    corrupted_call: str | None


def weakest_that_changes_the_call(
    signals: Sequence[Float32[ndarray, "sample"]],
    places: Sequence[tuple[int, int]],
    corruption: Corruption,
    ladder: Ladder,
    caller: Caller | None,
    rng: np.random.Generator,
) -> list[Rung]:
    """Each signal corrupted at its place by the weakest strength that changes its call, else by the strongest.

    All signals have one length. Without a caller the strongest is taken and nothing is called.
    """
    strengths = ladder.of(corruption)
    tried = []
    for signal, (start, end) in zip(signals, places, strict=True):
        noise = rng.standard_normal(end - start, dtype=np.float32)
        tried.append([corrupt(signal, start, end, corruption, strength, noise) for strength in strengths])
    if caller is None:
        return [Rung(rungs[-1], strengths[-1], None, None) for rungs in tried]
    if not signals:
        return []
    calls = caller(np.stack([signal for row in zip(signals, tried, strict=True) for signal in (row[0], *row[1])]))
    taken = []
    for number, rungs in enumerate(tried):
        clean, *called = calls[number * (1 + len(strengths)) :][: 1 + len(strengths)]
        rung = next((place for place, call in enumerate(called) if call != clean), len(strengths) - 1)
        taken.append(Rung(rungs[rung], strengths[rung], clean, called[rung]))
    return taken
