"""Genomic intervals: BED, narrowPeak and broadPeak, as text or as bigBed."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
from jaxtyping import Int
from numpy import ndarray

from mints.data.genome import Genome
from mints.data.sequences import open_maybe_gzip
from mints.errors import MintsError

COLUMNS = ["chromosome", "start", "end", "name", "score", "strand", "signal", "summit"]
SKIPPED = re.compile(rb"#|(track|browser)(\s|$)")

BIG_BED = ((0x8789F2EB).to_bytes(4, "little"), (0x8789F2EB).to_bytes(4, "big"))
"""First bytes of a bigBed file."""

BROAD_PEAK, NARROW_PEAK = 9, 10
"""Numbers of columns that tell the peak formats. BED9 has nine as well, BED12 and others have more."""

SIGNAL, SUMMIT = 6, 9
"""Columns of narrowPeak that hold the signal value and the summit's offset from the start (-1: not called)."""


def read_intervals(path: Path) -> pd.DataFrame:
    """Rows of a BED, narrowPeak or broadPeak file, plain, gzip or bigBed, whatever it is called.

    signal, summit: missing where the format has none; the summit is an absolute position.
    line: the row's line in the file, or its place among the entries of a bigBed.
    Raises MintsError, with the line, for a row that has too few columns or whose coordinates are no numbers, negative
    or swapped; and for a file without rows.
    """
    if not path.is_file():
        raise MintsError(f"{path} does not exist")
    with path.open("rb") as stream:
        binary = stream.read(4) in BIG_BED
    rows = list(_rows_of_big_bed(path) if binary else _rows_of_text(path))
    if not rows:
        raise MintsError(f"{path} has no intervals")
    table = pd.DataFrame(rows, columns=[*COLUMNS, "line"])
    return table.astype({"start": "int64", "end": "int64", "signal": "float64", "summit": "Int64"})


def read_blacklist(path: Path, genome: Genome) -> pd.DataFrame:
    """Intervals to keep away from: those on the genome's chromosomes, which may be few of an assembly's.

    Raises MintsError as `read_intervals` and `check_against` do, and where all are on other chromosomes.
    """
    intervals = read_intervals(path)
    here = intervals[intervals["chromosome"].isin(list(genome.lengths))].reset_index(drop=True)
    if here.empty:
        check_against(intervals, genome, path)
    check_against(here, genome, path)
    return here


def count_overlaps(
    starts: Int[ndarray, "query"], ends: Int[ndarray, "query"], intervals: pd.DataFrame
) -> Int[ndarray, "query"]:
    """How many intervals (columns start, end) share a base with each [start, end); all on one chromosome."""
    begin = np.sort(intervals["start"].to_numpy(int))
    finish = np.sort(intervals["end"].to_numpy(int))
    # Those that have begun before the query's end, less those that have ended by its start.
    return np.searchsorted(begin, ends, "left") - np.searchsorted(finish, starts, "right")


def check_against(intervals: pd.DataFrame, genome: Genome, path: Path) -> None:
    """Raise MintsError for the first interval whose chromosome the genome lacks, or that reaches beyond its end."""
    for chromosome, rows in intervals.groupby("chromosome", sort=False):
        if chromosome not in genome.lengths:
            _, line = rows.iloc[0][["chromosome", "line"]]
            try:
                genome.length_of(str(chromosome))
            except MintsError as error:
                raise MintsError(f"{path} line {line}: {error}") from None
        beyond = rows[rows["end"] > genome.lengths[str(chromosome)]]
        if len(beyond):
            first = beyond.iloc[0]
            place = f"{chromosome}:{first['start']}-{first['end']}"
            length = genome.lengths[str(chromosome)]
            raise MintsError(f"{path} line {first['line']}: {place} ends beyond {chromosome}, which has {length} bases")


def _rows_of_text(path: Path) -> Iterator[tuple[object, ...]]:
    try:
        with open_maybe_gzip(path) as stream:
            for number, line in enumerate(stream, start=1):
                text = line.strip()
                if text and not SKIPPED.match(text):
                    columns = text.decode("utf-8", "replace").split("\t" if b"\t" in text else None)
                    yield *_row(columns, f"{path} line {number}"), number
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MintsError(f"{path} is a damaged or truncated gzip file: {error}") from None


def _rows_of_big_bed(path: Path) -> Iterator[tuple[object, ...]]:
    try:
        with pyBigWig.open(str(path)) as file:
            number = 0
            for chromosome, length in file.chroms().items():
                for columns in columns_of_entries(chromosome, file.entries(chromosome, 0, length) or []):
                    number += 1
                    yield *_row(columns, f"{path} entry {number}"), number
    except RuntimeError as error:
        raise MintsError(f"{path} is a damaged or truncated bigBed file: {error}") from None


def columns_of_entries(chromosome: str, entries: Iterable[tuple[int, int, str]]) -> Iterator[list[str]]:
    """Columns as the text file has them, of entries (start, end, rest) of a bigBed."""
    for start, end, rest in entries:
        yield [chromosome, str(start), str(end), *(rest.split("\t") if rest else [])]


def _row(columns: list[str], where: str) -> tuple[object, ...]:
    if len(columns) < 3:
        raise MintsError(f"{where}: expected at least chromosome, start and end, found {len(columns)} column(s)")
    chromosome = columns[0]
    try:
        start, end = int(columns[1]), int(columns[2])
    except ValueError:
        raise MintsError(
            f"{where}: start and end must be whole numbers, found {columns[1]!r}, {columns[2]!r}"
        ) from None
    if start < 0:
        raise MintsError(f"{where}: {chromosome}:{start}-{end} starts before the chromosome does")
    if end < start:
        raise MintsError(f"{where}: {chromosome}:{start}-{end} ends before it starts")
    if end == start:
        raise MintsError(f"{where}: {chromosome}:{start}-{end} is empty")
    optional = [*columns[3:6], *[None] * 3][:3]
    return (chromosome, start, end, *optional, *_signal_and_summit(columns, start, end, where))


def _signal_and_summit(columns: list[str], start: int, end: int, where: str) -> tuple[float | None, int | None]:
    """What the peak formats know beyond BED. Nine columns are BED9 where two of them mark a thick part of the row."""
    if len(columns) not in (BROAD_PEAK, NARROW_PEAK) or _has_thick_part(columns, start, end):
        return None, None
    try:
        signal = float(columns[SIGNAL])
        offset = int(columns[SUMMIT]) if len(columns) == NARROW_PEAK else -1
    except ValueError:
        raise MintsError(f"{where}: the signal and the summit of a peak must be numbers") from None
    return signal, None if offset < 0 else start + offset


def _has_thick_part(columns: list[str], start: int, end: int) -> bool:
    thick = columns[SIGNAL : SIGNAL + 2]
    whole = len(columns) == BROAD_PEAK and all(column.isdecimal() for column in thick)
    return whole and start <= int(thick[0]) <= int(thick[1]) <= end
