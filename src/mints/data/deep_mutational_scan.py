"""Deep-mutational-scanning tables as ProteinGym has them: what each substitution in a protein did in an assay."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mints.data.residues import RESIDUES
from mints.data.sequences import open_maybe_gzip
from mints.errors import MintsError

ONE_CHANGE = re.compile(r"([A-Z])(\d+)([A-Z])")
"""`A1C`: the residue that stands there, its place counted from 1, and the residue in its place."""

APART = re.compile(r"(?i)(_?wt|wild.?type|p\.=|=)|([A-Z]\d+(_[A-Z]?\d+)?(ins|del|dup|fs).*|[A-Z]\d+-|-\d+[A-Z])")
"""The wild type itself; insertions, deletions and shifts of the frame."""

SEPARATOR = re.compile(r"[:;,+]\s*")
"""Between the changes of a multiple mutant; ProteinGym writes a colon."""

REASONS = (
    "synonymous",
    "insertion_or_deletion",
    "stop",
    "unknown_residue",
    "unreadable",
    "no_score",
    "repeated",
)
"""Why a row is left out: the wild type again; other than a substitution; a stop codon; a letter that is none of the
twenty; something else; no number; a mutant that an earlier row has."""


class Change(NamedTuple):
    """One substitution."""

    wild_type: str
    position: int
    """Counted from 0."""

    mutant: str

    def __str__(self) -> str:
        return f"{self.wild_type}{self.position + 1}{self.mutant}"


class Variant(NamedTuple):
    """One row of a scan."""

    changes: tuple[Change, ...]
    """By ascending position; at least one."""

    score: float
    """The assay's; larger is fitter."""

    functional: int | None
    """1 or 0 where the table has a class for it."""

    @property
    def name(self) -> str:
        """`A1C`, or `A1C:D5E` for a multiple mutant."""
        return ":".join(map(str, self.changes))

    def positions(self) -> tuple[int, ...]:
        """Places that are changed."""
        return tuple(change.position for change in self.changes)

    def of(self, wild_type: str) -> str:
        """The mutated sequence."""
        letters = list(wild_type)
        for change in self.changes:
            letters[change.position] = change.mutant
        return "".join(letters)


class Scan(NamedTuple):
    """A protein and what was measured of its mutants."""

    wild_type: str
    variants: list[Variant]
    refused: dict[str, int]
    """How many rows were left out, by reason (`REASONS`)."""

    def singles(self) -> list[Variant]:
        """Mutants of one substitution."""
        return [variant for variant in self.variants if len(variant.changes) == 1]


class Row(NamedTuple):
    """One row as it stands in the file."""

    line: int
    mutant: str
    mutated: str
    """Empty where the table does not give it."""

    score: str
    functional: str


def read_scan(path: Path, wild_type: str | None = None) -> Scan:
    """A table with columns mutant (or wt_residue, position, mut_residue), mutated_sequence, DMS_score, DMS_score_bin.

    Between commas or tabs, plain or gzip; the class may be missing, and so may mutated_sequence where the wild type is
    given. Rows that are no substitution with a score are left out and counted. Raises MintsError, with the line,
    where a mutated sequence is not the wild type with the row's changes; and for a table without such columns, without
    any substitution, or from which the wild type cannot be told.
    """
    refused: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
    kept: dict[tuple[Change, ...], tuple[Row, Variant]] = {}
    for row in _rows(path):
        changes = _changes(row.mutant)
        score = _number(row.score)
        if isinstance(changes, str) or score is None:
            refused[changes if isinstance(changes, str) else "no_score"] += 1
        elif changes in kept:
            refused["repeated"] += 1
        else:
            kept[changes] = row, Variant(changes, score, _class(row, path))
    if not kept:
        counted = ", ".join(f"{count} {reason}" for reason, count in refused.items() if count)
        raise MintsError(f"{path} holds no substitution with a score ({counted or 'it has no rows'})")
    sequence = wild_type or _wild_type(path, list(kept.values()))
    for row, variant in kept.values():
        _check(path, row, variant, sequence, given=wild_type is not None)
    return Scan(sequence, [variant for _, variant in kept.values()], dict(refused))


def _rows(path: Path) -> Iterator[Row]:
    try:
        with open_maybe_gzip(path) as stream:
            lines = stream.read().decode("utf-8-sig").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MintsError(f"{path} cannot be read as a table: {error}") from None
    delimiter = "\t" if "\t" in (lines or [""])[0] else ","
    reader = csv.reader(lines, delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    needed = ("mutant",) if "mutant" in names else ("wt_residue", "position", "mut_residue")
    if absent := [name for name in (*needed, "DMS_score") if name not in names]:
        raise MintsError(
            f"{path} has no column {', '.join(absent)}: a scan has mutant (or wt_residue, position, mut_residue),"
            " DMS_score, and mutated_sequence or a wild type given for it"
        )
    for cells in reader:
        if any(cell.strip() for cell in cells):
            row = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
            mutant = "".join(row.get(name, "") for name in needed)
            mutated = row.get("mutated_sequence", "").upper()
            yield Row(reader.line_num, mutant, mutated, row.get("DMS_score", ""), row.get("DMS_score_bin", ""))


def _changes(text: str) -> tuple[Change, ...] | str:
    """The changes of a mutant's name, or why it is none."""
    changes = []
    for part in SEPARATOR.split(text):
        if part.endswith(("*", "Ter")):
            return "stop"
        if apart := APART.fullmatch(part):
            return "synonymous" if apart[1] else "insertion_or_deletion"
        found = ONE_CHANGE.fullmatch(part)
        if found is None or found[2] == "0":
            return "unreadable"
        if not {found[1], found[3]} <= set(RESIDUES):
            return "unknown_residue"
        if found[1] != found[3]:
            changes.append(Change(found[1], int(found[2]) - 1, found[3]))
    if len({change.position for change in changes}) < len(changes):
        return "unreadable"
    return tuple(sorted(changes, key=lambda change: change.position)) or "synonymous"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _class(row: Row, path: Path) -> int | None:
    if not row.functional or row.functional.lower() in ("nan", "na"):
        return None
    value = _number(row.functional)
    if value not in (0, 1):
        raise MintsError(f"{path} line {row.line}: DMS_score_bin is {row.functional!r}, not 0 or 1")
    return int(value)


def _wild_type(path: Path, rows: Sequence[tuple[Row, Variant]]) -> str:
    """What most rows give with their changes taken back."""
    given = Counter(back for row, variant in rows if (back := _taken_back(row.mutated, variant)))
    if not given:
        raise MintsError(f"{path} has no mutated_sequence to tell the wild type from: give the scan a wild_type")
    return given.most_common(1)[0][0]


def _taken_back(mutated: str, variant: Variant) -> str | None:
    if not mutated or variant.changes[-1].position >= len(mutated):
        return None
    back = (Change(change.mutant, change.position, change.wild_type) for change in variant.changes)
    return Variant(tuple(back), 0.0, None).of(mutated)


def _check(path: Path, row: Row, variant: Variant, wild_type: str, *, given: bool) -> None:
    """Raise MintsError, with the line, where a row is of another sequence."""
    whose = "the wild type that was given" if given else "the wild type that the other rows give"
    for change in variant.changes:
        there = wild_type[change.position : change.position + 1]
        if there != change.wild_type:
            stands = f"{there} stands there" if there else f"it has {len(wild_type)} residues"
            raise MintsError(f"{path} line {row.line}: {change} does not fit {whose}: {stands}")
    if row.mutated and row.mutated != variant.of(wild_type):
        raise MintsError(f"{path} line {row.line}: mutated_sequence is not {whose} with {variant.name}")
