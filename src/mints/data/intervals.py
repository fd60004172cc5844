"""Genomic intervals: BED, narrowPeak and broadPeak."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pandas as pd

from mints.data.sequences import Genome, open_maybe_gzip
from mints.errors import MintsError

COLUMNS = ["chromosome", "start", "end", "name", "score", "strand", "signal", "summit"]
SKIPPED = (b"#", b"track", b"browser")
SIGNAL, SUMMIT = 6, 9
"""Columns of narrowPeak that hold the signal value and the summit's offset from the start (-1: not called)."""


def read_intervals(path: Path) -> pd.DataFrame:
    """Rows of a BED, narrowPeak or broadPeak file, plain or gzip; `line` is the row's line in the file.

    summit: absolute position, missing where the file gives none. Raises MintsError, with the line, for a row that has
    too few columns or whose coordinates are no numbers, negative or swapped; and for a file without rows.
    """
    if not path.is_file():
        raise MintsError(f"{path} does not exist")
    rows: list[tuple[object, ...]] = []
    try:
        with open_maybe_gzip(path) as stream:
            for number, line in enumerate(stream, start=1):
                text = line.strip()
                if text and not text.startswith(SKIPPED):
                    rows.append((*_parse(text.decode("utf-8", "replace"), f"{path} line {number}"), number))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MintsError(f"{path} is a damaged or truncated gzip file: {error}") from None
    if not rows:
        raise MintsError(f"{path} has no intervals")
    table = pd.DataFrame(rows, columns=[*COLUMNS, "line"])
    return table.astype({"start": "int64", "end": "int64", "signal": "float64", "summit": "Int64"})


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


def _parse(text: str, where: str) -> tuple[object, ...]:
    columns = text.split("\t") if "\t" in text else text.split()
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
    signal = _number(columns, SIGNAL)
    offset = _number(columns, SUMMIT)
    summit = None if offset is None or offset < 0 else start + int(offset)
    return (chromosome, start, end, *optional, signal, summit)


def _number(columns: list[str], place: int) -> float | None:
    try:
        return float(columns[place])
    except (IndexError, ValueError):
        return None
