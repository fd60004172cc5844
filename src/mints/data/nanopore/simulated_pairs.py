"""Pairs of simulated signals whose truth is known on both sides, balanced over group, base, run length and corruption.

Definitions: docs/methods.md, Signal pairs.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from numpy import ndarray

from mints.data.nanopore.current import R10_CURRENT, CurrentSettings, draw_channel, draw_dwells
from mints.data.nanopore.levels import KmerLevels, kmer_numbers
from mints.data.nanopore.normalisation import R10_NORMALISATION, Normalisation, normalise, scaling_of
from mints.data.nanopore.pairs import (
    CORRUPTIONS,
    DEFAULT_LADDER,
    GROUPS,
    RUN_LENGTHS,
    SPLITS,
    Caller,
    Corruption,
    Group,
    Ladder,
    SignalPair,
    weakest_that_changes_the_call,
)
from mints.data.nanopore.strands import GENOME_LIKE, StrandSettings, draw_strands
from mints.data.sequences import BASES, decode
from mints.errors import UsageError

MOST_DRAWS = 20
"""Draws of one pair before it is given up."""

SLACK = 6
"""Bases behind a run or stretch that make up for the time of a base more or fewer."""

BASE_CHANGE: dict[Corruption, int] = {"noise": 0, "dampening": 0, "repeat_more": 1, "repeat_fewer": -1}


class Stratum(NamedTuple):
    """What pairs are balanced over."""

    group: Group
    base: int
    length: int
    corruption: Corruption


class SimulatedPairs(NamedTuple):
    """Pairs, and how many draws were refused, by reason."""

    pairs: list[SignalPair]
    refused: Counter[str]


class Side(NamedTuple):
    """One side of a pair: more bases than its signal shows."""

    codes: UInt8[ndarray, "base"]
    borders: Int[ndarray, "border"]
    """Sample of the signal at which each base's dwell begins, and at which the last one ends."""


class Recipe(NamedTuple):
    """What all pairs have in common."""

    levels: KmerLevels
    samples: int = 720
    """Length of each signal; the run or stretch lies in its middle."""

    normalisation: Normalisation = R10_NORMALISATION
    current: CurrentSettings = R10_CURRENT
    strands: StrandSettings = GENOME_LIKE


def simulate_pairs(
    rng: np.random.Generator,
    per_stratum: int,
    recipe: Recipe,
    *,
    ladder: Ladder = DEFAULT_LADDER,
    caller: Caller | None = None,
) -> SimulatedPairs:
    """`per_stratum` pairs of every group, base, run length and corruption; each pair is a read of its own.

    caller: chooses the strength of noise and dampening. Strata are halved between validation and test as a chess board
    is. A re-simulation whose levels are the same as before at every sample is refused, and drawn again up to 20 times.
    Raises UsageError where the signals are shorter than twice the longest run with the bases behind it.
    """
    longest = (RUN_LENGTHS[-1] + 1 + SLACK) * recipe.current.mean_dwell
    if recipe.samples < 2 * longest:
        raise UsageError(f"signals of {recipe.samples} samples are too short: the runs need {2 * longest:.0f}")
    strata = [Stratum(*cell) for cell in product(GROUPS, range(4), RUN_LENGTHS, CORRUPTIONS)]
    refused: Counter[str] = Counter(refused_equal_levels=0)
    pairs = []
    for number, (stratum, repeat) in enumerate(product(strata, range(per_stratum)), start=1):
        turn = stratum.base + stratum.length + CORRUPTIONS.index(stratum.corruption) + repeat
        for _ in range(MOST_DRAWS):
            pair = _draw_pair(rng, stratum, recipe)
            if pair is not None:
                pairs.append(pair._replace(read=f"pair{number:05d}", split=SPLITS[turn % len(SPLITS)]))
                break
            refused["refused_equal_levels"] += 1
    return SimulatedPairs(_with_corruptions(pairs, ladder, caller, rng), refused)


def _with_corruptions(
    pairs: list[SignalPair], ladder: Ladder, caller: Caller | None, rng: np.random.Generator
) -> list[SignalPair]:
    """The pairs in their order, those of noise and dampening with their corrupted side, all with their calls."""
    done: dict[str, SignalPair] = {}
    for corruption in CORRUPTIONS:
        these = [pair for pair in pairs if pair.corruption == corruption]
        if ladder.of(corruption):
            clean, places = [pair.clean for pair in these], [(pair.start, pair.end) for pair in these]
            rungs = weakest_that_changes_the_call(clean, places, corruption, ladder, caller, rng)
            chosen = [
                pair._replace(
                    corrupted=rung.signal,
                    strength=rung.strength,
                    clean_call=rung.clean_call,
                    corrupted_call=rung.corrupted_call,
                )
                for pair, rung in zip(these, rungs, strict=True)
            ]
        elif caller is not None and these:
            calls = caller(np.stack([signal for pair in these for signal in (pair.clean, pair.corrupted)]))
            called = zip(these, calls[::2], calls[1::2], strict=True)
            chosen = [pair._replace(clean_call=clean, corrupted_call=changed) for pair, clean, changed in called]
        else:
            chosen = these
        done |= {pair.read: pair for pair in chosen}
    return [done[pair.read] for pair in pairs]


def _draw_pair(rng: np.random.Generator, stratum: Stratum, recipe: Recipe) -> SignalPair | None:
    """One pair, its corrupted side still the clean one where noise or dampening is to follow; None where refused."""
    sides, flank, affected = _draw_sides(rng, stratum, recipe)
    mean, deviation = (np.stack([_sampled(table, side, recipe) for side in sides]) for table in recipe.levels)
    differs = np.flatnonzero((mean[0] != mean[1]) | (deviation[0] != deviation[1]))
    change = BASE_CHANGE[stratum.corruption]
    if change and not differs.size:
        return None
    noise = recipe.current.noise * rng.standard_normal(recipe.samples, dtype=np.float32)
    gain, baseline = draw_channel(rng, 1, recipe.samples, recipe.current)
    clean, corrupted = gain * (mean + deviation * noise) + baseline
    scaling = scaling_of(clean, recipe.normalisation)
    (sequence, boundaries, first), (other, other_boundaries, _) = (_in_window(side, recipe.samples) for side in sides)
    run = sides[0].borders[[flank, flank + stratum.length]]
    return SignalPair(
        clean=normalise(clean, scaling),
        corrupted=normalise(corrupted, scaling),
        group=stratum.group,
        base=BASES[stratum.base],
        run_length=stratum.length,
        corruption=stratum.corruption,
        strength=float(change),
        clean_sequence=sequence,
        corrupted_sequence=other if change else None,
        clean_boundaries=boundaries,
        corrupted_boundaries=other_boundaries,
        start=int(np.concatenate([run, differs]).min()),
        end=int(np.concatenate([run, differs + 1]).max()),
        run_first=flank - first,
        affected=flank - first + affected,
        source="simulated",
        read="",
        split="",
        shift=scaling.shift,
        scale=scaling.scale,
    )


def _draw_sides(rng: np.random.Generator, stratum: Stratum, recipe: Recipe) -> tuple[tuple[Side, Side], int, int]:
    """Both sides, the number of bases before the stretch, and which base of the stretch is concerned."""
    stretch, affected = draw_stretch(rng, stratum.group, stratum.base, stratum.length)
    edited = stretch
    if stratum.corruption == "repeat_more":
        edited = np.insert(stretch, affected, stretch[affected])
    elif stratum.corruption == "repeat_fewer":
        edited = np.delete(stretch, affected)
    flank = round(recipe.samples / 2 / recipe.current.mean_dwell * 1.3) + 10 + recipe.levels.k + SLACK
    left, right = draw_strands(rng, 2, flank, recipe.strands)
    left = _without_runs(rng, left[::-1], stretch[0])[::-1]
    right = _without_runs(rng, right, stretch[-1])
    dwells = edited_dwells(rng, flank, len(stretch), affected, BASE_CHANGE[stratum.corruption], recipe.current)
    begins = recipe.samples // 2 - int(dwells[0][:flank].sum() + dwells[0][flank:-flank].sum() // 2)
    clean, corrupted = (
        Side(np.concatenate([left, middle, right]), begins + np.concatenate([[0], np.cumsum(each)]))
        for middle, each in zip((stretch, edited), dwells, strict=True)
    )
    return (clean, corrupted), flank, affected


def draw_stretch(rng: np.random.Generator, group: Group, base: int, length: int) -> tuple[UInt8[ndarray, "base"], int]:
    """A run of a base, or as many bases of which no two neighbours are equal, and the base that an edit concerns.

    That is the run's last base, or the one in the stretch's middle: there stands `base`, between two different bases,
    so that leaving it out makes no run.
    """
    if group == "homopolymer":
        return np.full(length, base, dtype=np.uint8), length - 1
    middle = length // 2
    stretch = np.full(length, base, dtype=np.uint8)
    for place in range(middle - 1, -1, -1):
        stretch[place] = _unlike(rng, stretch[place + 1], stretch[place + 1])
    stretch[middle + 1] = rng.choice([code for code in range(4) if code not in (base, stretch[middle - 1])])
    for place in range(middle + 2, length):
        stretch[place] = _unlike(rng, stretch[place - 1], stretch[place - 1])
    return stretch, middle


def _without_runs(rng: np.random.Generator, flank: UInt8[ndarray, "base"], edge: int) -> UInt8[ndarray, "base"]:
    """The flank with its first SLACK bases unlike the one before them: no other run lies, or is stretched, so near."""
    changed = flank.copy()
    for place in range(SLACK):
        changed[place] = _unlike(rng, changed[place], changed[place - 1] if place else edge)
    return changed


def _unlike(rng: np.random.Generator, code: int, neighbour: int) -> int:
    """The base itself where it is unlike its neighbour, else one of the three others."""
    return int(code) if code != neighbour else (int(neighbour) + int(rng.integers(1, 4))) % 4


def edited_dwells(
    rng: np.random.Generator, flank: int, length: int, affected: int, change: int, current: CurrentSettings
) -> tuple[Int[ndarray, "clean_base"], Int[ndarray, "corrupted_base"]]:
    """Dwells of both sides, with `flank` bases before and behind the stretch, and with the same sum.

    A base more brings a dwell of its own, a base fewer takes its dwell away, and all others of the stretch keep theirs:
    how long a run lasts is what tells its length. The time is taken from, or given to, the SLACK bases behind it, half
    on the clean side and half (with the other sign) on the corrupted side, so that neither is the likelier for it.
    """
    before, after = draw_dwells(rng, (2, flank), current)
    inner = draw_dwells(rng, (length,), current)
    edited = inner
    if change > 0:
        edited = np.insert(inner, affected + 1, draw_dwells(rng, (1,), current))
    elif change < 0:
        edited = np.delete(inner, affected)
    longer = int(edited.sum() - inner.sum())
    near, other_near = (
        _lengthened(after[:SLACK], more, current.least_dwell) for more in (longer // 2, longer // 2 - longer)
    )
    if min(near.min(), other_near.min()) < current.least_dwell:  # dwells that vary widely may leave no time to be taken
        return edited_dwells(rng, flank, length, affected, change, current)
    far = after[SLACK:]
    return np.concatenate([before, inner, near, far]), np.concatenate([before, edited, other_near, far])


def _lengthened(dwells: Int[ndarray, "base"], more: int, least: int) -> Int[ndarray, "base"]:
    """Dwells that last `more` samples longer together, what each has above the least in the same proportions.

    Where there are not so many samples to be taken away, some fall below the least.
    """
    if not more:
        return dwells
    spare = dwells - least + 1.0
    borders = np.rint(np.cumsum(spare) / spare.sum() * (dwells.sum() + more - least * len(dwells))).astype(np.intp)
    lengthened: Int[ndarray, "base"] = least + np.diff(borders, prepend=0)
    return lengthened


def _sampled(table: Float[ndarray, "kmer"], side: Side, recipe: Recipe) -> Float32[ndarray, "sample"]:
    """The table's value of the k-mer in the pore at each sample of the signal."""
    before, after = recipe.levels.before, recipe.levels.after
    dwells = np.diff(side.borders)[before : len(side.codes) - after]
    values = np.repeat(table[kmer_numbers(side.codes, recipe.levels.k)], dwells)
    hidden = -int(side.borders[before])
    if hidden < 0 or hidden + recipe.samples > len(values):
        raise ValueError(f"{len(side.codes)} bases were too few for a signal of {recipe.samples} samples")
    return values[hidden : hidden + recipe.samples].astype(np.float32)


def _in_window(side: Side, samples: int) -> tuple[str, Int[ndarray, "border"], int]:
    """Bases whose dwell's middle lies in the signal, their borders cut to it, and the number of the first of them."""
    middles = (side.borders[:-1] + side.borders[1:]) / 2
    inside = np.flatnonzero((middles >= 0) & (middles < samples))
    first, last = int(inside[0]), int(inside[-1])
    return decode(side.codes[first : last + 1]), np.clip(side.borders[first : last + 2], 0, samples), first
