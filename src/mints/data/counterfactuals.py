"""Counterfactual pairs: the smallest substitution that destroys a motif and leaves every token boundary in place.

Activations of two sequences can be exchanged position by position only where the tokens of both stand for the same
nucleotides. Byte-pair encoding seldom keeps its boundaries under an edit, so that the edit is searched for
(docs/methods.md, Counterfactual pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from numpy.random import Generator

from mints.data.edits import (
    combined_edits,
    count_edits,
    gc_count,
    random_edits,
    to_letters,
    to_text,
    to_texts,
    with_letters,
)

Boundaries = Callable[[Sequence[str]], list[Int[ndarray, "token 2"]]]
"""Half-open nucleotide spans of the content tokens of each sequence."""

EXHAUSTIVE, LARGEST = 3, 6
"""Substitutions of which all combinations are tried, and up to which random ones are."""

COMBINATIONS, SAMPLED = 100_000, 4_096
"""Most edits of one size that are all tried; where there are more, so many random ones are, over a single site."""

TOKENIZED, RESERVED = 2_000, 500
"""Candidates that may be tokenized for one sequence, and how many of them are kept for the best site of a group."""

SCORED, FIRST_BATCH, BATCH = 512, 8, 128
"""Candidates scored at once; tokenized at once, at first and at most."""


class SiteRule(NamedTuple):
    """What a site is, and what destroys it."""

    score: Callable[[Sequence[str]], list[Float[ndarray, "window"]]]
    """Best-strand log-odds in bits at every window start of each sequence; -inf for a window with N."""

    width: int
    threshold: float
    """A window at or above it is a site."""

    anchor: int | None = None
    """None: every site of the sequence is destroyed. Otherwise the one site starts here (it is known by its label), and
    every window that an edit touches ends below the threshold; sites that no edit touches stay."""

    core: tuple[int, int] | None = None
    """With an anchor: half-open offsets in the site of the letters that are edited if possible (the GT of a donor)."""


class Pair(NamedTuple):
    """A sequence with a motif and one without, whose tokens have the same boundaries."""

    clean: str
    corrupted: str
    start: int
    end: int
    """Half-open hull of the destroyed sites."""

    positions: tuple[int, ...]
    """Edited places."""

    score_clean: float
    score_corrupted: float
    """Bits of the best window that overlaps the hull."""

    gc_change: int
    """G+C of corrupted less G+C of clean."""


class Refused(StrEnum):
    """Why a sequence gives no pair."""

    NO_SITE = "no_site"
    UNKNOWN_LETTERS = "unknown_letters"
    """N in the site, or no window that is free of N."""

    NOT_DESTROYED = "not_destroyed"
    """No edit that was tried takes the site below the threshold without making another."""

    NOT_ALIGNED = "not_aligned"
    """Some edits destroy the site, and none that was tokenized keeps the boundaries."""


def destroy_sites(sequence: str, rule: SiteRule, boundaries: Boundaries, rng: Generator) -> Pair | Refused:
    """The pair with the smallest edit, then the smallest change of GC; which of several equal ones is random.

    sequence: upper-case ACGTN. Overlapping sites form a group. Each group in turn is destroyed by 1, 2, then 3
    substitutions among its places, of which all are tried. A group that withstands loses its best site first; a single
    site is tried with random edits of up to 6 places, too. An anchored site is edited outside its core only where no
    edit of the core will do.
    """
    scores = rule.score([sequence])[0] if len(sequence) >= rule.width else np.empty(0)
    windows = slice(None) if rule.anchor is None else slice(rule.anchor, rule.anchor + 1)
    if not np.isfinite(scores[windows]).any():
        return Refused.UNKNOWN_LETTERS
    sites = left = _sites(scores, rule)
    if not len(sites):
        return Refused.NO_SITE
    search = _Search(rule, boundaries, rng, to_letters(sequence), boundaries([sequence])[0])
    current = search.clean
    while len(left):
        edited = search.destroy(current, _first_group(left, rule.width))
        if isinstance(edited, Refused):
            return edited
        current = edited
        left = _sites(rule.score([to_text(current)])[0], rule)
    return _pair(search.clean, current, int(sites[0]), int(sites[-1]) + rule.width, rule)


def control_edit(pair: Pair, rule: SiteRule, boundaries: Boundaries, rng: Generator) -> str | None:
    """The clean sequence with the pair's base substitutions at a random place away from every site and from the hull.

    The edited places keep their distances where some place allows it, else each substitution finds a place of its own.
    Boundaries are those of the clean sequence and no site arises. None where no such edit was found.
    """
    clean, positions = to_letters(pair.clean), np.array(pair.positions)
    new = to_letters(pair.corrupted)[positions]
    search = _Search(rule, boundaries, rng, clean, boundaries([pair.clean])[0], reserved=0)
    sites = rule.score([pair.clean])[0] >= rule.threshold
    free = ~_covered(np.flatnonzero(sites), rule.width, len(clean))
    free[pair.start : pair.end] = False
    places = positions + rng.permutation(np.arange(-positions[0], len(clean) - positions[-1]))[:, None]
    places = places[(free[places] & (clean[places] == clean[positions])).all(axis=1)]
    found = search.first_fit(clean, [with_letters(clean, places, new)], sites)
    if found is None:
        found = search.scatter(clean[positions], new, free, sites)
    return None if found is None else to_text(found)


def replace_motif(sequence: str, motif: str, replacement: str) -> str | None:
    """The sequence with `replacement` in place of the first `motif`; None where it does not occur.

    Raises ValueError where the two differ in length.
    """
    if len(motif) != len(replacement):
        raise ValueError(f"{motif} and {replacement} differ in length")
    return sequence.replace(motif, replacement, 1) if motif in sequence else None


def is_aligned(clean: str, corrupted: str, boundaries: Boundaries) -> bool:
    """Whether the tokens of both sequences stand for the same nucleotides."""
    before, after = boundaries([clean, corrupted])
    return np.array_equal(before, after)


@dataclass
class _Search:
    """The search for one sequence, with what it may still spend."""

    rule: SiteRule
    boundaries: Boundaries
    rng: Generator
    clean: UInt8[ndarray, "place"]
    spans: Int[ndarray, "token 2"]
    reserved: int = RESERVED
    left: int = TOKENIZED
    any_destroyed: bool = False

    def destroy(
        self, current: UInt8[ndarray, "place"], group: Int[ndarray, "site"]
    ) -> UInt8[ndarray, "place"] | Refused:
        """The sequence without the group's sites, or at least without the best of them."""
        self.any_destroyed = False
        width, core = self.rule.width, self.rule.core
        scores = self.rule.score([to_text(current)])[0]
        best = group[[np.argmax(scores[group])]]
        stages = [(group, (0, width))] if core is None else [(group, core), (group, (0, width))]
        stages += [(best, (0, width))] if len(group) > 1 else []
        for stage, (targets, (start, end)) in enumerate(stages, start=1):
            others = scores >= self.rule.threshold
            others[targets] = False
            self.reserved = RESERVED if stage < len(stages) else 0
            places = np.arange(targets[0] + start, targets[-1] + end)
            found = self.first_fit(current, self._candidates(current, places), others)
            if found is not None:
                return found
        return Refused.NOT_ALIGNED if self.any_destroyed else Refused.NOT_DESTROYED

    def first_fit(
        self,
        current: UInt8[ndarray, "place"],
        candidates: Iterable[UInt8[ndarray, "row place"]],
        others: Bool[ndarray, "window"],
    ) -> UInt8[ndarray, "place"] | None:
        """The first candidate without a site, except at the windows of `others`, that keeps the boundaries."""
        for rows in candidates:
            for begin in range(0, len(rows), SCORED):
                chunk = rows[begin : begin + SCORED]
                chunk = chunk[self._destroys(current, chunk, others)]
                self.any_destroyed |= len(chunk) > 0
                found = self._first_aligned(chunk)
                if found is not None or self.left <= self.reserved:
                    return found
        return None

    def scatter(
        self,
        old: UInt8[ndarray, "edit"],
        new: UInt8[ndarray, "edit"],
        free: Bool[ndarray, "place"],
        sites: Bool[ndarray, "window"],
    ) -> UInt8[ndarray, "place"] | None:
        """The clean sequence with each of the substitutions at a random free place of its own."""
        current, free = self.clean, free.copy()
        for before, after in zip(old, new, strict=True):
            places = self.rng.permutation(np.flatnonzero(free & (self.clean == before)))[:, None]
            found = self.first_fit(current, [with_letters(current, places, after)], sites)
            if found is None:
                return None
            free &= found == current
            current = found
        return current

    def _candidates(
        self, current: UInt8[ndarray, "place"], places: Int[ndarray, "choice"]
    ) -> Iterator[UInt8[ndarray, "row place"]]:
        """Edits of the places by growing size, then by growing |change of G+C| against the clean sequence."""
        offset = int(gc_count(current) - gc_count(self.clean))
        for size in range(1, min(LARGEST, len(places)) + 1):
            if size <= EXHAUSTIVE and count_edits(len(places), size) <= COMBINATIONS:
                yield combined_edits(current, places, size, self.rng, offset)
            elif len(places) <= self.rule.width:
                yield random_edits(current, places, size, SAMPLED, self.rng, offset)

    def _destroys(
        self,
        current: UInt8[ndarray, "place"],
        rows: UInt8[ndarray, "row place"],
        others: Bool[ndarray, "window"],
    ) -> Bool[ndarray, "row"]:
        """Whether no window reaches the threshold, but for `others`; with an anchor, for those that no edit touches."""
        width, changed = self.rule.width, rows != current
        edited = np.flatnonzero(changed.any(axis=0))
        if not len(edited):
            return np.zeros(len(rows), dtype=bool)
        start, end = max(0, edited[0] - width + 1), min(len(current), edited[-1] + width)
        sites = np.array(self.rule.score(to_texts(rows[:, start:end]))) >= self.rule.threshold
        stay = np.broadcast_to(others[start : end - width + 1], sites.shape)
        if self.rule.anchor is not None:
            edits = np.pad(np.cumsum(changed[:, start:end], axis=1), ((0, 0), (1, 0)))
            stay = stay & (edits[:, width:] == edits[:, :-width])
        destroyed: Bool[ndarray, "row"] = changed.any(axis=1) & ~(sites & ~stay).any(axis=1)
        return destroyed

    def _first_aligned(self, rows: UInt8[ndarray, "row place"]) -> UInt8[ndarray, "place"] | None:
        size = FIRST_BATCH
        while len(rows) and self.left > self.reserved:
            batch, rows = np.split(rows, [min(size, self.left - self.reserved, len(rows))])
            self.left -= len(batch)
            for row, spans in zip(batch, self.boundaries(to_texts(batch)), strict=True):
                if np.array_equal(spans, self.spans):
                    aligned: UInt8[ndarray, "place"] = row
                    return aligned
            size = min(2 * size, BATCH)
        return None


def _sites(scores: Float[ndarray, "window"], rule: SiteRule) -> Int[ndarray, "site"]:
    """Starts of the sites that are to be destroyed."""
    sites = np.flatnonzero(scores >= rule.threshold)
    return sites if rule.anchor is None else sites[sites == rule.anchor]


def _first_group(sites: Int[ndarray, "site"], width: int) -> Int[ndarray, "site"]:
    """The leading sites of which each overlaps the one before."""
    gaps = np.flatnonzero(np.diff(sites) >= width)
    return sites[: gaps[0] + 1] if len(gaps) else sites


def _covered(sites: Int[ndarray, "site"], width: int, length: int) -> Bool[ndarray, "place"]:
    """Places that some site covers."""
    covered = np.zeros(length, dtype=bool)
    covered[(sites[:, None] + np.arange(width)).ravel()] = True
    return covered


def _pair(
    clean: UInt8[ndarray, "place"], corrupted: UInt8[ndarray, "place"], start: int, end: int, rule: SiteRule
) -> Pair:
    texts = to_text(clean), to_text(corrupted)
    overlapping = slice(max(0, start - rule.width + 1), end)
    before, after = (float(scores[overlapping].max()) for scores in rule.score(texts))
    positions = tuple(np.flatnonzero(clean != corrupted).tolist())
    return Pair(*texts, start, end, positions, before, after, int(gc_count(corrupted) - gc_count(clean)))
