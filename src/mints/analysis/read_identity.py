"""How well a called read agrees with the truth: columns of the best global alignment."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from Bio.Align import PairwiseAligner


class ReadAlignment(NamedTuple):
    """Columns of one read's alignment to its true sequence."""

    matches: int
    mismatches: int
    insertions: int
    """Called bases that the truth does not have."""

    deletions: int
    """True bases that were not called."""

    @property
    def columns(self) -> int:
        """Length of the alignment."""
        return sum(self)

    @property
    def identity(self) -> float:
        """Matches over columns (docs/methods.md, Basecaller); 0 where both sequences are empty."""
        return self.matches / self.columns if self.columns else 0.0


def align_read(truth: str, called: str) -> ReadAlignment:
    """Global alignment in which a match counts 1, and a mismatch or a gap of any base −1."""
    if not truth or not called:
        return ReadAlignment(0, 0, insertions=len(called), deletions=len(truth))
    counts = _aligned(truth, called).counts()
    return ReadAlignment(counts.identities, counts.mismatches, counts.insertions, counts.deletions)


def _aligned(truth: str, called: str) -> Any:
    aligner = PairwiseAligner(mode="global", match_score=1, mismatch_score=-1, gap_score=-1)  # type: ignore[no-untyped-call]
    return aligner.align(truth, called)[0]  # type: ignore[no-untyped-call]


class CalledRun(NamedTuple):
    """One run of a base of the truth, and how long it was called."""

    base: str
    length: int
    """Of the truth."""

    called: int
    """Letters of this base that the call has in the run's columns, or inserted right beside them; 0: not called."""


def called_runs(truth: str, called: str) -> list[CalledRun]:
    """Every run of the truth, of length 1 and more, in the alignment of `align_read`."""
    if not called:
        return [CalledRun(base, len(list(run)), 0) for base, run in groupby(truth)]
    if not truth:
        return []
    alignment = _aligned(truth, called)
    above, below = str(alignment[0]), str(alignment[1])
    columns = [place for place, letter in enumerate(above) if letter != "-"]
    runs, first = [], 0
    for base, run in groupby(truth):
        length = len(list(run))
        start, end = columns[first], columns[first + length - 1] + 1
        while start > 0 and above[start - 1] == "-":
            start -= 1
        while end < len(above) and above[end] == "-":
            end += 1
        runs.append(CalledRun(base, length, below[start:end].count(base)))
        first += length
    return runs
