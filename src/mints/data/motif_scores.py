"""Motif scores of sequences and tokens: log-odds in bits on both strands, exact p-values, sites and support tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int8, UInt8, UInt16, UInt32, UInt64
from numpy import ndarray
from numpy.typing import ArrayLike

from mints.data.motifs import UNIFORM, Motif
from mints.data.sequences import encode
from mints.errors import MintsError, UsageError

SITE_P = 1e-4
"""A window is a site where a random window of one strand scores as high with at most this probability."""

UNITS_PER_BIT = [1 << power for power in range(10, 3, -1)]
"""From fine to coarse; powers of two, so that every score is exact in float32."""

SCORES = 1 << 16
"""A score, in units above the lowest, takes 16 bits; one look-up adds both strands of two neighbouring windows."""

WORD = 6
"""Bases per look-up: 4^6 entries of eight bytes stay in the first-level cache."""

ASCII_ORDER = [0, 1, 3, 2]
"""A, C, T, G: in this order, bits 1 and 2 of a base's ASCII letter count 0, 1, 2, 3."""

CHUNK = 1 << 19
"""Windows that are scored at once: with fewer, numpy's calls cost too much; with more, the caches overflow."""

THREADS = min(4, os.cpu_count() or 1)
Result = TypeVar("Result")


class Windows(NamedTuple):
    """Scores of one sequence; one entry per window start, none where the sequence is shorter than the motif."""

    bits: Float32[ndarray, "window"]
    """Log-odds of the better strand; -inf where the window holds an N."""

    strand: Int8[ndarray, "window"]
    """Strand of that score, +1 or -1; +1 where both score the same."""


class Hits(NamedTuple):
    """Windows of one sequence that are sites, in the order of the sequence."""

    start: Int[ndarray, "site"]
    bits: Float32[ndarray, "site"]
    strand: Int8[ndarray, "site"]
    p_value: Float[ndarray, "site"]


@dataclass(frozen=True, eq=False)
class MotifScorer:
    """A motif's log-odds, rounded to 1/`units_per_bit` bits so that p-values are exact for the scores it reports."""

    motif: Motif
    pseudocount: float
    background: tuple[float, ...]
    units_per_bit: int
    columns: Int[ndarray, "position base"]
    """Rounded log-odds in units."""

    @property
    def width(self) -> int:
        """Bases of a window."""
        return len(self.columns)

    def p_value(self, bits: ArrayLike) -> Float[ndarray, "*scores"]:
        """Probability that one window of one strand, drawn from the background, scores at least `bits`."""
        units = np.ceil(np.asarray(bits, dtype=float) * self.units_per_bit) - self._lowest
        p: Float[ndarray, "*scores"] = self._tail[np.clip(units, 0, len(self._density)).astype(np.int64)]
        return p

    def threshold(self, p: float = SITE_P) -> float:
        """Least attainable score, in bits, whose p-value is at most `p`; inf where there is none."""
        enough = np.flatnonzero((self._density > 0) & (self._tail[:-1] <= p))
        return float((enough[0] + self._lowest) / self.units_per_bit) if len(enough) else float("inf")

    def windows(self, sequences: Sequence[str]) -> list[Windows]:
        """Scores of all windows of each sequence; letters other than ACGT count as N."""
        joined = "".join(sequences)
        total = max(0, len(joined) - self.width + 1)
        bits, strand = np.empty(total, dtype=np.float32), np.empty(total, dtype=np.int8)

        def score(start: int) -> None:
            chunk = slice(start, min(start + CHUNK, total))
            self._score(self._letters(joined, chunk), Windows(bits[chunk], strand[chunk]))

        _for_each(score, range(0, total, CHUNK))
        lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        stops = starts + np.maximum(0, lengths - self.width + 1)  # windows that span two sequences lie between
        return [Windows(bits[a:b], strand[a:b]) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]

    def hits(self, sequence: str, p: float = SITE_P) -> Hits:
        """Windows whose p-value is at most `p`, faster than by way of the scores of all windows."""
        total, threshold = max(0, len(sequence) - self.width + 1), self.threshold(p)
        least = int(min(threshold * self.units_per_bit - self._lowest, SCORES - 1))

        def find(start: int) -> Int[ndarray, "window"]:
            chunk = slice(start, min(start + CHUNK, total))
            letters = self._letters(sequence, chunk)
            better = np.maximum(*self._units(letters, chunk.stop - start))
            return start + np.flatnonzero((better >= least) & (letters[: len(better)] != ord("N")))

        starts = np.concatenate([np.empty(0, dtype=np.int64), *_for_each(find, range(0, total, CHUNK))])
        texts = [sequence[start : start + self.width] for start in starts.tolist()]
        bits, strand = (scores[:: self.width] for scores in self.windows(["".join(texts)])[0])
        sites = bits >= threshold  # an N inside was taken for a base until here
        return Hits(starts[sites], bits[sites], strand[sites], self.p_value(bits[sites]))

    def _letters(self, sequence: str, windows: slice) -> UInt8[ndarray, "letter"]:
        """ASCII letters of the windows and, behind the last one's start, of all words of the tables."""
        stop = windows.stop + WORD * len(self._tables)
        return np.frombuffer(sequence[windows.start : stop].ljust(stop - windows.start, "N").encode("ascii"), np.uint8)

    def _score(self, letters: UInt8[ndarray, "letter"], out: Windows) -> None:
        """Write the scores of the first windows to `out`."""
        bits, strand = out
        forward, reverse = self._units(letters, len(bits))
        np.greater_equal(forward, reverse, out=strand.view(bool))
        strand *= 2
        strand -= 1
        bits[:] = np.maximum(forward, reverse)
        bits += self._lowest
        bits *= 1 / self.units_per_bit
        unknown = _unknown(letters[: len(bits) + self.width - 1])
        if unknown.any():
            before = np.append(0, np.cumsum(unknown))
            holding = before[self.width :] > before[: -self.width]
            bits[holding], strand[holding] = -np.inf, 1

    def _units(self, letters: UInt8[ndarray, "letter"], windows: int) -> tuple[UInt16[ndarray, "window"], ...]:
        """Units above the lowest score, of the forward and of the reverse strand; other letters count as some base."""
        words = _words(letters >> 1 & 3)
        pairs = np.zeros((windows + 1) // 2, dtype=np.uint64)
        for place, table in enumerate(self._tables):
            start = place * WORD // 2
            pairs += table.take(words[start : start + len(pairs)], mode="wrap")  # the mode that is fastest
        both = pairs.view(np.uint32)[:windows]
        return (both >> 16).astype(np.uint16), both.astype(np.uint16)

    @cached_property
    def _lowest(self) -> int:
        return int(self.columns.min(axis=1).sum())

    @cached_property
    def _steps(self) -> Int[ndarray, "position base"]:
        """Units above the lowest of each column."""
        steps: Int[ndarray, "position base"] = self.columns - self.columns.min(axis=1, keepdims=True)
        return steps

    @cached_property
    def _density(self) -> Float[ndarray, "unit"]:
        """P(score = lowest + i units): the columns' distributions convolved (Staden 1989)."""
        density = np.ones(1)
        for steps in self._steps.tolist():
            longer = np.zeros(len(density) + max(steps))
            for step, share in zip(steps, self.background, strict=True):
                longer[step : step + len(density)] += share * density
            density = longer
        return density

    @cached_property
    def _tail(self) -> Float[ndarray, "unit"]:
        """P(score >= lowest + i units); the last entry, beyond the best score, is 0."""
        return np.append(np.minimum(1, np.cumsum(self._density[::-1])[::-1]), 0)

    @cached_property
    def _tables(self) -> list[UInt64[ndarray, "word"]]:
        """Summed steps of every word at each place of two neighbouring windows, which span width + 1 letters."""
        after = -(self.width + 1) % WORD
        columns = [
            np.pad(strand, ((shift, 1 - shift + after), (0, 0)))
            for shift in (0, 1)
            for strand in (self._steps, self._steps[::-1, ::-1])
        ]
        tables = []
        for place in range(0, self.width + 1, WORD):
            scores = [_word_scores(column[place : place + WORD]) for column in columns]
            windows = np.stack([scores[0] * SCORES + scores[1], scores[2] * SCORES + scores[3]], axis=1)
            tables.append(windows.view(np.uint64).ravel())
        return tables


def motif_scorer(motif: Motif, *, pseudocount: float = 0.5, background: tuple[float, ...] = UNIFORM) -> MotifScorer:
    """A scorer of `motif` against `background` (A, C, G, T).

    Log-odds are rounded to the finest power of two for which all scores fit 16 bits. Raises UsageError where the
    background is no distribution with four positive shares, and where the pseudocount leaves log-odds that are infinite
    or too far apart.
    """
    if len(background) != 4 or min(background) <= 0 or not np.isclose(sum(background), 1):
        raise UsageError(f"background {tuple(background)} is not four positive shares of A, C, G and T that sum to 1")
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = motif.log_odds(background, pseudocount)
        spread = float((bits.max(axis=1) - bits.min(axis=1)).sum())
    fine_enough = (units for units in UNITS_PER_BIT if spread * units < SCORES - len(bits))  # a unit each for rounding
    units = next(fine_enough, None)
    if units is None:
        raise UsageError(f"pseudocount {pseudocount} is too small: scores of motif {motif.id} span {spread:.0f} bits")
    columns = np.rint(bits * units).astype(np.int64)
    return MotifScorer(motif, pseudocount, tuple(background), units, columns)


def _for_each(work: Callable[[int], Result], starts: range) -> list[Result]:
    """`work` of every start; several are shared out to threads: numpy computes outside the interpreter's lock."""
    if len(starts) < 2:  # starting a thread takes longer than scoring a short sequence
        return [work(start) for start in starts]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, starts))


def _words(codes: UInt8[ndarray, "letter"]) -> Int[ndarray, "word"]:
    """Number, in base 4, of the six letters from every second letter on."""
    two = codes[:-1] * 4 + codes[1:]
    four = (two[:-2] * 16 + two[2:]).astype(np.uint16)
    six: Int[ndarray, "letter"] = four[:-2] * 16 | four[2:]  # the letters in both fall on the same bits
    words: Int[ndarray, "word"] = six[::2].astype(np.intp)
    return words


def _word_scores(steps: Int[ndarray, "position base"]) -> UInt32[ndarray, "word"]:
    """Summed steps of every word, in the order of `_words`."""
    scores = np.zeros(1, dtype=np.uint32)
    for column in steps[:, ASCII_ORDER].astype(np.uint32):
        scores = (scores[:, None] + column).ravel()
    return scores


def _unknown(letters: UInt8[ndarray, "letter"]) -> Bool[ndarray, "letter"]:
    """Letters other than A, C, G and T."""
    unknown = np.ones(len(letters), dtype=bool)
    for base in b"ACGT":  # nine times as fast as np.isin
        unknown &= letters != base
    return unknown


def sites(windows: Windows, width: int, threshold: float) -> Int[ndarray, "site 2"]:
    """Half-open coordinates of the windows of `width` bases that score at least `threshold` bits."""
    starts = np.flatnonzero(windows.bits >= threshold)
    return np.stack([starts, starts + width], axis=1)


def token_scores(windows: Windows, width: int, spans: Int[ndarray, "token 2"]) -> Float32[ndarray, "token"]:
    """Score, in bits, of the best window that overlaps each token's span by at least one base.

    -inf where there is none: for an empty span, a sequence shorter than the motif, or N in every window.
    """
    first = np.clip(spans[:, 0] - width + 1, 0, len(windows.bits))
    after = np.clip(spans[:, 1], 0, len(windows.bits))
    bits = np.append(windows.bits, np.float32(-np.inf))  # so that every bound is an index
    best = np.maximum.reduceat(bits, np.stack([first, after], axis=1).ravel())[::2]
    some = (first < after) & (spans[:, 0] < spans[:, 1])
    scores: Float32[ndarray, "token"] = np.where(some, best, np.float32(-np.inf))
    return scores


def token_support(sites: Int[ndarray, "site 2"], spans: Int[ndarray, "token 2"]) -> Bool[ndarray, "token"]:
    """Whether each token's span overlaps a site by at least one base; an empty span never does."""
    begun = np.searchsorted(np.sort(sites[:, 0]), spans[:, 1], side="left")
    ended = np.searchsorted(np.sort(sites[:, 1]), spans[:, 0], side="right")
    support: Bool[ndarray, "token"] = (begun > ended) & (spans[:, 0] < spans[:, 1])
    return support


def permuted(motif: Motif, rng: np.random.Generator) -> Motif:
    """The motif with its columns in a random order other than its own: same composition, same information.

    Raises MintsError where all columns are alike.
    """
    if (motif.counts == motif.counts[0]).all():
        raise MintsError(f"motif {motif.id} cannot be permuted: all its columns are alike")
    counts = motif.counts
    while np.array_equal(counts, motif.counts):
        counts = rng.permutation(motif.counts)
    return Motif(f"{motif.id} permuted", f"{motif.name} permuted", counts)


def estimate_motif(sequences: Sequence[str], start: int, width: int, *, motif_id: str, name: str) -> Motif:
    """Base counts of aligned sequences at [start, start + width); N and sequences that end earlier are left out.

    Raises MintsError where no sequence is long enough.
    """
    aligned = [sequence[start : start + width] for sequence in sequences if len(sequence) >= start + width]
    if not aligned:
        raise MintsError(f"motif {motif_id} cannot be estimated: no sequence reaches position {start + width}")
    codes = encode("".join(aligned)).reshape(-1, width)
    return Motif(motif_id, name, (codes[:, :, None] == np.arange(4)).sum(axis=0).astype(float))
