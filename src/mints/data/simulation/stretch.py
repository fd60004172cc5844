"""A growing piece of sequence with the features that lie on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

OTHER_STRAND = {"+": "-", "-": "+", ".": "."}


class Feature(NamedTuple):
    """An annotated interval, 0-based half-open within its stretch."""

    start: int
    end: int
    kind: str
    strand: str
    detail: str


class Stretch:
    """Sequence that is put together from left to right."""

    def __init__(self) -> None:
        self._parts: list[UInt8[ndarray, "position"]] = []
        self.features: list[Feature] = []
        self.length = 0

    def mark(self, start: int, end: int, kind: str, strand: str = "+", detail: str = "") -> None:
        """Annotate an interval."""
        self.features.append(Feature(start, end, kind, strand, detail))

    def add(
        self, codes: UInt8[ndarray, "position"], kind: str | None = None, strand: str = "+", detail: str = ""
    ) -> None:
        """Append sequence, annotated as a whole where `kind` is given."""
        if kind is not None:
            self.mark(self.length, self.length + len(codes), kind, strand, detail)
        self._parts.append(codes)
        self.length += len(codes)

    def append(self, other: Stretch) -> None:
        """Append another stretch with its features."""
        for start, end, kind, strand, detail in other.features:
            self.mark(self.length + start, self.length + end, kind, strand, detail)
        self._parts += other._parts
        self.length += other.length

    def codes(self) -> UInt8[ndarray, "position"]:
        """The whole sequence."""
        return np.concatenate(self._parts)

    def reverse_complement(self) -> Stretch:
        """The same stretch read on the other strand."""
        turned = Stretch()
        turned.add(3 - self.codes()[::-1])
        for start, end, kind, strand, detail in self.features:
            turned.mark(self.length - end, self.length - start, kind, OTHER_STRAND[strand], detail)
        return turned
