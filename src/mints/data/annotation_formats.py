"""Annotation of genomes as its formats have it: BED, GFF3 and GTF, GenBank. Each gives rows of one form."""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from Bio import BiopythonWarning
from Bio.SeqFeature import SeqFeature
from Bio.SeqIO import parse

from mints.data.intervals import SKIPPED
from mints.errors import MintsError


class Place(NamedTuple):
    """One stretch of a sequence."""

    chromosome: str
    start: int
    end: int
    """0-based, half-open."""

    kind: str
    strand: str
    """+, -, or . for none."""

    name: str
    """Empty where there is none."""

    region: Hashable
    """Rows that share it are one region."""

    line: int


NAMING = ("Name", "gene_name", "gene", "standard_name", "label", "product", "ID", "gene_id", "note")
"""Attributes and qualifiers that may hold a feature's name, the first that is there."""

ANY_KIND = "region"
"""Kind of BED rows whose names tell none."""

MOST_NAMES = 0.5
"""BED names are kinds only where there are at most this many per row: otherwise each row has a name of its own."""


def bed_places(text: str, path: Path) -> Iterator[Place]:
    """Rows of BED: the fourth column is the kind; a last column that the header calls `detail` is the name.

    Where nearly every row has a name of its own, the fourth column is the name, and all rows are of one kind.
    """
    rows, detail = [], None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#") and "detail" in (header := line.split("\t")):
            detail = header.index("detail")
        if line.strip() and not SKIPPED.match(line.encode()):
            rows.append((number, line.split("\t" if "\t" in line else None)))
    labels = [columns[3] if len(columns) > 3 else "." for _, columns in rows]
    are_kinds = len(set(labels)) <= max(1, MOST_NAMES * len(labels))
    for (number, columns), label in zip(rows, labels, strict=True):
        where = f"{path} line {number}"
        if len(columns) < 3:
            raise MintsError(f"{where}: expected at least chromosome, start and end, found {len(columns)} column(s)")
        start, end = whole_numbers(columns[1], columns[2], where)
        check_span(columns[0], start, end, where)
        strand = columns[5] if len(columns) > 5 and columns[5] in "+-" else "."
        told = columns[detail] if detail is not None and len(columns) > detail else "."
        kind, name = (label, told) if are_kinds else (ANY_KIND, label)
        kind = ANY_KIND if kind in ("", ".") else kind
        yield Place(columns[0], start, end, kind, strand, "" if name == "." else name, number, number)


def gff_places(text: str, path: Path) -> Iterator[Place]:
    """Rows of GFF3 (lines with one ID and one type are one region) and of GTF (every line is a region)."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(("##FASTA", ">")):
            return
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.split("\t")
        where = f"{path} line {number}"
        if len(columns) != 9:
            raise MintsError(f"{where}: GFF has nine columns separated by tabs, found {len(columns)}")
        first, last = whole_numbers(columns[3], columns[4], where)
        check_span(columns[0], first - 1, last, where)
        attributes = gff_attributes(columns[8])
        region = (columns[0], columns[2], attributes["ID"]) if "ID" in attributes else number
        strand = columns[6] if columns[6] in "+-" else "."
        chromosome, kind = unquote(columns[0]), unquote(columns[2])
        yield Place(chromosome, first - 1, last, kind, strand, naming(attributes), region, number)


def gff_attributes(column: str) -> dict[str, str]:
    """Ninth column of GFF3 (`key=value;`) or GTF (`key "value";`)."""
    if re.match(r"\s*[^\s=;]+=", column):
        pairs = (part.partition("=") for part in column.split(";") if part.strip())
        return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
    return dict(re.findall(r'(\S+)\s+"([^"]*)"', column))


def genbank_places(text: str, path: Path) -> Iterator[Place]:
    """Features of GenBank records; the parts of a join are one region. A part with an unknown end has no place.

    line: where the record ends, since the parser tells no more.
    """
    stream = CountingLines(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BiopythonWarning)
            records = [(record, stream.line) for record in parse(stream, "genbank")]  # type: ignore[no-untyped-call]
    except (ValueError, AssertionError, IndexError) as error:
        raise MintsError(f"{path} line {stream.line}: not to be read as GenBank: {error}") from None
    for record, line in records:
        chromosome = record.name if record.id in ("", ".", "<unknown id>") else record.id
        for number, feature in enumerate(record.features):
            name = naming({key: str(values[0]) for key, values in feature.qualifiers.items()})
            for part in parts_of(feature):
                start, end = int(part.start), int(part.end)
                check_span(chromosome, start, end, f"{path} line {line}")
                strand = {1: "+", -1: "-"}.get(part.strand or 0, ".")
                yield Place(chromosome, start, end, feature.type, strand, name, (chromosome, number), line)


def parts_of(feature: SeqFeature) -> list[Any]:
    """The stretches of a feature that lie on its record and whose both ends are known (`<1` is known, `?` is not)."""
    parts = [] if feature.location is None else feature.location.parts
    return [part for part in parts if part.ref is None and isinstance(part.start, int) and isinstance(part.end, int)]


class CountingLines:
    """Lines of a text, of which it is known which one was read last."""

    def __init__(self, text: str) -> None:
        self._lines = iter(text.splitlines(keepends=True))
        self.line = 0

    def readline(self) -> str:
        """The next line; empty at the end."""
        return next(self, "")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.line += 1
        return line

    def read(self, size: int = -1) -> str:
        """The rest; biopython asks for nothing, to see that this is text."""
        return "" if size == 0 else "".join(self)


def naming(attributes: dict[str, str]) -> str:
    """A feature's name by its attributes; empty where none tells it."""
    return next((attributes[key] for key in NAMING if attributes.get(key)), "")


def whole_numbers(first: str, second: str, where: str) -> tuple[int, int]:
    """Two coordinates. Raises MintsError where they are no whole numbers."""
    try:
        return int(first), int(second)
    except ValueError:
        raise MintsError(f"{where}: start and end must be whole numbers, found {first!r}, {second!r}") from None


def check_span(chromosome: str, start: int, end: int, where: str) -> None:
    """Raise MintsError for a half-open span that is empty, swapped or negative."""
    if start < 0:
        raise MintsError(f"{where}: {chromosome}:{start}-{end} starts before the sequence does")
    if end <= start:
        raise MintsError(f"{where}: {chromosome}:{start}-{end} is empty or ends before it starts")
