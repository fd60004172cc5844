"""Windows on the simulated genome: where they lie, which may be used together, and their sequence in gene sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray

from mints.errors import UsageError

Codes = UInt8[ndarray, "position"]

LEAST_CHROMOSOMES = 4


class Splits(NamedTuple):
    """Names of the chromosomes of each split."""

    train: list[str]
    validation: list[str]
    test: list[str]


def split_chromosomes(names: Sequence[str]) -> Splits:
    """The last chromosome is for validation, the two before it for test.

    Raises UsageError where fewer than four chromosomes leave none for training.
    """
    if len(names) < LEAST_CHROMOSOMES:
        raise UsageError(
            f"simulation.chromosomes is {len(names)}: at least {LEAST_CHROMOSOMES} are needed, "
            "one for training, two for test and one for validation"
        )
    return Splits(list(names[:-3]), [names[-1]], list(names[-3:-1]))


def windows_on(
    chromosome: str,
    sites: Int[ndarray, "site"],
    reverse: Bool[ndarray, "site"],
    *,
    width: int,
    index: int,
    length: int,
) -> pd.DataFrame:
    """Windows (chromosome, start, reverse, site) that hold each site at `index`, counted in the site's own sense.

    sites: forward coordinate of each site's first base in its own sense. Windows beyond the chromosome's ends are left
    out.
    """
    start = np.where(reverse, sites + index + 1 - width, sites - index)
    table = pd.DataFrame({"chromosome": chromosome, "start": start, "reverse": reverse, "site": sites})
    return table[(start >= 0) & (start + width <= length)]


def annotated_sites(annotation: pd.DataFrame) -> tuple[Int[ndarray, "site"], Bool[ndarray, "site"]]:
    """Forward coordinate of each feature's first base in its own sense, and whether it lies on the reverse strand."""
    reverse = (annotation["strand"] == "-").to_numpy()
    return np.where(reverse, annotation["end"] - 1, annotation["start"]), reverse


class Coverage:
    """Bases that the windows of one task already use."""

    def __init__(self, chromosomes: Mapping[str, Codes], names: Sequence[str], width: int) -> None:
        self._taken = {name: np.zeros(len(chromosomes[name]), dtype=bool) for name in names}
        self._width = width

    def block(self, chromosome: str, start: int, end: int) -> None:
        """Keep every window off an interval."""
        self._taken[chromosome][max(0, start) : end] = True

    def claim(self, candidates: pd.DataFrame, count: int | None = None) -> pd.DataFrame:
        """In their order, the first `count` (default all) windows that overlap nothing claimed or blocked before."""
        kept: list[int] = []
        for row, (chromosome, start) in enumerate(zip(candidates["chromosome"], candidates["start"], strict=True)):
            if len(kept) == count:
                break
            taken = self._taken[chromosome][start : start + self._width]
            if not taken.any():
                taken[:] = True
                kept.append(row)
        return candidates.iloc[kept]


def labelled(
    chromosomes: Mapping[str, Codes], width: int, negatives: pd.DataFrame, positives: pd.DataFrame
) -> pd.DataFrame:
    """Windows of both classes as rows (name, sequence, label), sequences in gene sense."""
    rows = []
    for label, windows in enumerate((negatives, positives)):
        for chromosome, start, reverse in windows[["chromosome", "start", "reverse"]].itertuples(
            index=False, name=None
        ):
            sequence = window_text(chromosomes[chromosome], start, width, reverse)
            rows.append((f"{chromosome}:{start}-{start + width}|{label}", sequence, label))
    return pd.DataFrame(rows, columns=["name", "sequence", "label"])


LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)


def window_text(codes: Codes, start: int, width: int, reverse: bool) -> str:
    """Letters of a window, reverse-complemented where its site lies on the reverse strand."""
    window = codes[start : start + width]
    return bytes(LETTERS[3 - window[::-1] if reverse else window]).decode()
