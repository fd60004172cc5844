"""How well a called read agrees with the truth: columns of the best global alignment."""

from __future__ import annotations

from typing import NamedTuple

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
    aligner = PairwiseAligner(mode="global", match_score=1, mismatch_score=-1, gap_score=-1)  # type: ignore[no-untyped-call]
    counts = aligner.align(truth, called)[0].counts()  # type: ignore[no-untyped-call]
    return ReadAlignment(counts.identities, counts.mismatches, counts.insertions, counts.deletions)
