"""Pairs from reads without a truth: runs and stretches in a model's own call, their signal made noisier or flatter.

Definitions: docs/methods.md, Signal pairs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from mints.data.nanopore.pairs import (
    DEFAULT_LADDER,
    GROUPS,
    RUN_LENGTHS,
    Caller,
    Corruption,
    Group,
    Ladder,
    SignalPair,
    weakest_that_changes_the_call,
)

CORRUPTIONS: tuple[Corruption, ...] = ("noise", "dampening")
"""Those that need no truth."""

TRIED = 8
"""Places that are tried for each pair wanted, as some leave the call as it was."""


class CalledRead(NamedTuple):
    """A real read and what a model calls of it."""

    read: str
    signal: Float32[ndarray, "sample"]
    """Normalised."""

    shift: float
    scale: float
    split: str
    sequence: str
    places: Int[ndarray, "base"]
    """Sample at which each base of the call begins; not descending."""


class Stretch(NamedTuple):
    """Consecutive bases of a read's call."""

    group: Group
    base: str
    first: int
    length: int


class CalledPairs(NamedTuple):
    """Pairs, and how many places were refused, by reason."""

    pairs: list[SignalPair]
    refused: Counter[str]


def called_pairs(
    rng: np.random.Generator,
    reads: Sequence[CalledRead],
    caller: Caller,
    *,
    samples: int,
    most: int,
    ladder: Ladder = DEFAULT_LADDER,
) -> CalledPairs:
    """Pairs of noise and dampening, as many of runs as of stretches for each base, length and corruption.

    samples: of each signal; the run or stretch lies in its middle. most: pairs of each group and corruption, spread
    over bases and lengths as far as these are there. Refused and counted are places too near to an end of their read or
    too long, places that the model no longer calls where it sees these samples alone, and places where no strength of
    the ladder changes the call; what is beyond the number wanted, or beyond what the other group has, is not needed.
    """
    refused: Counter[str] = Counter(
        refused_near_an_end=0, refused_too_long=0, refused_called_otherwise=0, refused_call_unchanged=0, not_needed=0
    )
    windows = defaultdict(list)
    for read in reads:
        for stretch in stretches_of(read.sequence):
            window = _window(read, stretch, samples)
            if isinstance(window, str):
                refused[window] += 1
            else:
                windows[stretch.group, stretch.base, stretch.length].append(window)
    strata = list(product("ACGT", RUN_LENGTHS))
    quota = -(-most // len(strata))
    pairs = []
    for base, length in strata:
        kept: dict[tuple[Group, Corruption], list[SignalPair]] = {}
        for group in GROUPS:
            there = windows[group, base, length]
            tried = [there[place] for place in rng.permutation(len(there))[: TRIED * quota]]
            refused["not_needed"] += len(there) - len(tried)
            for corruption in CORRUPTIONS:
                kept[group, corruption] = _corrupted(rng, tried, corruption, ladder, caller, refused)
        for corruption in CORRUPTIONS:
            common = min(quota, *(len(kept[group, corruption]) for group in GROUPS))
            for group in GROUPS:
                refused["not_needed"] += len(kept[group, corruption]) - common
                pairs += kept[group, corruption][:common]
    return CalledPairs(pairs, refused)


def stretches_of(sequence: str) -> Iterator[Stretch]:
    """Runs of 3 to 8 bases of a call, and between them stretches of as many bases without two equal neighbours.

    None touches an end of the sequence or a base like its own first or last. Stretches lie one after another, their
    lengths taken in turn; the base in the middle of each has different bases on its two sides.
    """
    turns = 0
    first = 0
    alone: list[int] = []
    for _, run in groupby(sequence):
        length = len(list(run))
        if length == 1:
            alone.append(first)
        else:
            alone = []
            if length in RUN_LENGTHS and first > 0 and first + length < len(sequence):
                yield Stretch("homopolymer", sequence[first], first, length)
        wanted = RUN_LENGTHS[turns % len(RUN_LENGTHS)]
        if len(alone) == wanted + 2:  # the bases on both sides are alone as well
            middle = alone[1] + wanted // 2
            if sequence[middle - 1] != sequence[middle + 1]:
                yield Stretch("other", sequence[middle], alone[1], wanted)
                turns += 1
                alone = alone[-1:]
            else:
                alone = alone[1:]
        first += length


def _window(read: CalledRead, stretch: Stretch, samples: int) -> SignalPair | str:
    """The clean signal around a stretch, as a pair without corruption; or why there is none."""
    start, end = (int(read.places[stretch.first + offset]) for offset in (0, stretch.length))
    if end - start > samples // 2:
        return "refused_too_long"
    begins = (start + end) // 2 - samples // 2
    if begins < 0 or begins + samples > len(read.signal) or end == start:
        return "refused_near_an_end"
    inside = np.flatnonzero((read.places >= begins) & (read.places < begins + samples))
    first, last = int(inside[0]), int(inside[-1])
    affected = stretch.first + (stretch.length - 1 if stretch.group == "homopolymer" else stretch.length // 2)
    boundaries = np.append(read.places[first : last + 1] - begins, samples)
    signal = read.signal[begins : begins + samples]
    return SignalPair(
        clean=signal,
        corrupted=signal,
        group=stretch.group,
        base=stretch.base,
        run_length=stretch.length,
        corruption="noise",
        strength=0.0,
        clean_sequence=read.sequence[first : last + 1],
        corrupted_sequence=None,
        clean_boundaries=boundaries,
        corrupted_boundaries=boundaries,
        start=start - begins,
        end=end - begins,
        run_first=stretch.first - first,
        affected=affected - first,
        source="read",
        read=read.read,
        split=read.split,
        shift=read.shift,
        scale=read.scale,
    )


def _corrupted(
    rng: np.random.Generator,
    windows: Sequence[SignalPair],
    corruption: Corruption,
    ladder: Ladder,
    caller: Caller,
    refused: Counter[str],
) -> list[SignalPair]:
    """The windows whose call changes, by the weakest corruption that does it."""
    places = [(window.start, window.end) for window in windows]
    signals = [window.clean for window in windows]
    pairs = []
    for window, rung in zip(
        windows, weakest_that_changes_the_call(signals, places, corruption, ladder, caller, rng), strict=True
    ):
        flanked = window.clean_sequence[window.run_first - 1 : window.run_first + window.run_length + 1]
        if flanked not in (rung.clean_call or ""):
            refused["refused_called_otherwise"] += 1
        elif rung.corrupted_call == rung.clean_call:
            refused["refused_call_unchanged"] += 1
        else:
            pairs.append(
                window._replace(
                    corrupted=rung.signal,
                    corruption=corruption,
                    strength=rung.strength,
                    clean_call=rung.clean_call,
                    corrupted_call=rung.corrupted_call,
                )
            )
    return pairs
