"""UniProt's features as its formats have them: flat file, JSON, and tables. Positions there are 1-based, inclusive."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mints.data.annotation_formats import Place, check_span, whole_numbers
from mints.errors import MintsError

BONDS = frozenset({"disulfid", "disulfide bond", "crosslnk", "cross-link"})
"""Kinds whose two positions are two residues, and not the ends of a stretch."""

ROW_COLUMNS = ("accession", "feature", "start", "end", "note")
"""Columns of a table with a feature in every row, in any order; `start_1based` and `end_incl` are such too."""

IN_CELL = re.compile(r"([A-Z][A-Z0-9_]+) (\S+?)((?:; /[a-z_]+=\"[^\"]*\")*)(?=; [A-Z][A-Z0-9_]+ |;?\s*$)")
"""One feature in a cell of UniProt's own table: `DOMAIN 18..145; /note="Nudix hydrolase"; /evidence="…"`."""

NOTE = re.compile(r'/note="([^"]*)"')


def is_uniprot_table(header: str) -> bool:
    """Whether a first line is the header of a table of features."""
    names = _column_names(header)
    return names[:1] == ["entry"] or {"accession", "feature", "start", "end"} <= set(names)


def _column_names(header: str) -> list[str]:
    return [name.strip().lower().split("_")[0] for name in header.split("\t")]


def table_places(text: str, path: Path) -> Iterator[Place]:
    """A table with a feature in every row, or UniProt's own with a protein in every row and features in its cells."""
    header, *lines = text.splitlines()
    names = _column_names(header)
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = line.split("\t")
        where = f"{path} line {number}"
        if len(cells) > len(names) or len(cells) < 2:
            raise MintsError(f"{where}: {len(cells)} columns where the header has {len(names)}")
        row = dict(zip(names, cells, strict=False))
        if names[0] != "entry":
            missing = [name for name in ROW_COLUMNS[:4] if name not in row]
            if missing:
                raise MintsError(f"{where}: no {missing[0]}")
            yield from _places(row["accession"], row["feature"], row["start"], row["end"], row.get("note", ""), where)
            continue
        for cell in cells[1:]:
            for kind, position, rest in IN_CELL.findall(cell):
                first, _, last = position.partition("..")
                note = NOTE.search(rest)
                yield from _places(row["entry"], kind, first, last or first, note[1] if note else "", where)


def swiss_places(text: str, path: Path) -> Iterator[Place]:
    """Features of UniProt's flat file: the lines FT, as they are since 2019 (`FT   DOMAIN   18..145`)."""
    accession, kind, position, note, begun = "", "", "", "", 0
    for number, line in enumerate([*text.splitlines(), "//"], start=1):
        starts_another = line.startswith("FT   ") and line[5:6].strip()
        if kind and (starts_another or not line.startswith("FT")):
            first, _, last = position.partition("..")
            where = f"{path} line {begun}"
            yield from _places(accession, kind, first, last or first, note, where, begun)
            kind, note = "", ""
        if line.startswith("//"):
            accession = ""
        elif line.startswith("AC   "):
            accession = accession or line[5:].split(";")[0].strip()
        elif starts_another:
            columns = line[5:].split()
            if len(columns) != 2 or not accession:
                raise MintsError(f"{path} line {number}: expected a kind and a position, found {line[5:].strip()!r}")
            (kind, position), begun = columns, number
        elif line.startswith("FT") and (told := re.search(r'/note="([^"]*)', line)):
            note = told[1]


def json_places(text: str, path: Path) -> Iterator[Place]:
    """Features of UniProt's JSON: one entry, a list of them, or an answer with `results`; `line` is the entry."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise MintsError(f"{path} line {error.lineno}: no JSON: {error.msg}") from None
    entries = content.get("results", [content]) if isinstance(content, dict) else content
    for number, entry in enumerate(entries, start=1):
        where = f"{path} entry {number}"
        if not isinstance(entry, dict) or "primaryAccession" not in entry:
            raise MintsError(f"{where}: no UniProt entry: it has no primaryAccession")
        for feature in entry.get("features", []):
            try:
                first, last = (feature["location"][end]["value"] for end in ("start", "end"))
                kind = feature["type"]
            except (KeyError, TypeError):
                raise MintsError(f"{where}: a feature without type or location") from None
            told = feature.get("description") or ""
            yield from _places(entry["primaryAccession"], kind, _text(first), _text(last), told, where, number)


def _text(position: Any) -> str:
    return "?" if position is None else str(position)


def _places(
    accession: str, kind: str, first: str, last: str, note: str, where: str, line: int | None = None
) -> Iterator[Place]:
    """Rows of one feature: none where an end is not known, two where it joins two residues."""
    first, last = first.strip("<>"), last.strip("<>")
    if "?" in first or "?" in last or not first:
        return
    start, end = whole_numbers(first, last, where)
    check_span(accession, start - 1, end, where)
    number = int(where.rsplit(" ", 1)[1]) if line is None else line
    region = (where, kind, start, end, note)
    spans = [(start - 1, start), (end - 1, end)] if kind.lower() in BONDS and end > start else [(start - 1, end)]
    for begin, stop in spans:
        yield Place(accession, begin, stop, kind, ".", note.strip(), region, number)
