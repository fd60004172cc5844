"""NCBI BLAST+ on nucleotides: a searchable copy of a FASTA file, searches in it, and their hits as a table."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, NamedTuple

import pandas as pd

from mints.data.sequences import ReadCounts, fasta_pieces, record_of
from mints.errors import MintsError
from mints.programs import BLAST_INSTALLATION, blast_version

FIELDS = {
    "qseqid": "query",
    "sseqid": "subject",
    "pident": "identity",
    "length": "length",
    "mismatch": "mismatches",
    "gapopen": "gap_openings",
    "qstart": "q_start",
    "qend": "q_end",
    "sstart": "s_start",
    "send": "s_end",
    "evalue": "evalue",
    "bitscore": "bits",
}
"""Specifiers of `-outfmt`, BLAST's twelve usual ones in their order → columns."""

HIT_COLUMNS = [*FIELDS.values(), "strand"]

SHORT = 50
"""Bases below which a query is searched as a short one: megablast seeds find little in it."""

SEED = 16
"""Bases of megablast's exact seeds: at 90% identity a 150-base match has one nearly always, where with its usual 28 it
often has none."""

SUBJECTS, ALIGNMENTS = 500, 50
"""Most subjects of a query, and most alignments with one of them; the best are kept."""

# BLAST+ reports its use to its makers unless told not to, and waits for the network on a node that has none.
ENVIRONMENT = {"BLAST_USAGE_REPORT": "false"}


class Database(NamedTuple):
    """A searchable copy of a FASTA file."""

    folder: Path

    subjects: list[str]
    """Headers, in the order of the file."""

    counts: ReadCounts
    """Records, bases and replaced letters."""


def require_blast() -> str:
    """Version of BLAST+. Raises MintsError with the ways to install it where it is missing."""
    version = blast_version()
    if version is None:
        raise MintsError(f"NCBI BLAST+ (blastn, makeblastdb) is not installed: {BLAST_INSTALLATION}")
    return version


def make_database(corpus: Path, folder: Path) -> Database:
    """Write a database of a FASTA file, plain or gzip, into a folder; no sequence is held whole.

    Subjects go by their number, as headers need not be unique. Raises MintsError as `read_fasta` does, and where
    BLAST+ is missing or fails.
    """
    require_blast()
    folder.mkdir(parents=True, exist_ok=True)
    counts = ReadCounts()
    subjects: list[str] = []
    # Names relative to the folder, since BLAST+ takes a space in a database's path for the start of another one.
    command = ["makeblastdb", "-in", "-", "-title", "corpus", "-dbtype", "nucl", "-out", "corpus"]
    with (folder / "makeblastdb.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | ENVIRONMENT, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
        )
        assert process.stdin is not None
        try:
            subjects = _feed(process.stdin, corpus, counts)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended early, and says why in its log
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        log.seek(0)
        if process.returncode:
            raise MintsError(f"makeblastdb failed on {corpus}: {_last_line(log.read())}")
    return Database(folder, subjects, counts)


def _feed(stream: IO[str], corpus: Path, counts: ReadCounts) -> list[str]:
    """Hand a FASTA file over piece by piece; returns its headers."""
    headers: list[str] = []
    for (_, header), pieces in groupby(fasta_pieces(corpus, counts), key=record_of):
        stream.write(f">{len(headers)}\n")
        bases = 0
        for piece in pieces:
            stream.write(piece.letters + "\n")
            bases += len(piece.letters)
        counts.add_record(corpus, header, bases)
        headers.append(header)
    return headers


def search(database: Database, queries: Sequence[str], *, evalue: float, threads: int = 1) -> pd.DataFrame:
    """Hits of sequences on both strands of a database, best first for each; columns `HIT_COLUMNS`.

    query, subject: numbers of the sequence and of the record. identity: share of the alignment's columns. length: of
    the alignment, gaps counted. q_start … s_end: 0-based, half-open, on the forward strand of each. evalue: the
    largest that is kept. Queries below `SHORT` bases are searched with BLAST's settings for such. Raises MintsError
    where BLAST+ is missing or fails.
    """
    require_blast()
    short = [number for number, sequence in enumerate(queries) if len(sequence) < SHORT]
    long = [number for number, sequence in enumerate(queries) if len(sequence) >= SHORT]
    tables = [
        _search(database, [(number, queries[number]) for number in numbers], task, evalue, threads)
        for numbers, task in ((long, ["megablast", "-word_size", str(SEED)]), (short, ["blastn-short"]))
        if numbers
    ]
    hits = pd.concat([parse_hits("", "no query"), *tables], ignore_index=True)
    order = ["query", "bits", "subject", "s_start", "q_start", "strand"]
    return hits.sort_values(order, ascending=[True, False, True, True, True, True], ignore_index=True)


def _search(
    database: Database, queries: Iterable[tuple[int, str]], task: list[str], evalue: float, threads: int
) -> pd.DataFrame:
    text = "".join(f">{number}\n{sequence}\n" for number, sequence in queries)
    limits = {"-evalue": evalue, "-num_threads": threads, "-max_target_seqs": SUBJECTS, "-max_hsps": ALIGNMENTS}
    settings = [str(part) for setting in limits.items() for part in setting]
    command = ["blastn", "-task", *task, "-db", "corpus", *settings, "-outfmt", f"6 {' '.join(FIELDS)}"]
    done = subprocess.run(
        command, cwd=database.folder, env=os.environ | ENVIRONMENT, input=text, capture_output=True, text=True
    )
    if done.returncode:
        raise MintsError(f"blastn failed: {_last_line(done.stderr)}")
    return parse_hits(done.stdout, "blastn").astype({"query": int, "subject": int})


def parse_hits(text: str, where: str) -> pd.DataFrame:
    """A table of BLAST (`-outfmt` 6 or 10 with its usual columns), coordinates as in `search`.

    where: name of the file, for messages. Raises MintsError with the line that is not such a row.
    """
    rows: list[dict[str, object]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        values = line.split("\t" if "\t" in line else ",")
        if len(values) != len(FIELDS):
            raise MintsError(f"{where} line {number}: {len(values)} columns, expected {' '.join(FIELDS)}")
        row: dict[str, object] = dict(zip(FIELDS.values(), values, strict=True))
        try:
            rows.append(row | _numbers(values))
        except ValueError as error:
            raise MintsError(f"{where} line {number}: {error}") from None
    types = {"identity": float, "evalue": float, "bits": float, "query": object, "subject": object, "strand": object}
    table = pd.DataFrame(rows, columns=HIT_COLUMNS)
    return table.astype({column: types.get(column, "int64") for column in HIT_COLUMNS})


def _numbers(values: list[str]) -> dict[str, object]:
    length, mismatches, gaps, q_start, q_end, s_start, s_end = (int(value) for value in values[3:10])
    return {
        "identity": float(values[2]) / 100,
        "length": length,
        "mismatches": mismatches,
        "gap_openings": gaps,
        "q_start": q_start - 1,
        "q_end": q_end,
        "s_start": min(s_start, s_end) - 1,
        "s_end": max(s_start, s_end),
        "evalue": float(values[10]),
        "bits": float(values[11]),
        "strand": "+" if s_start <= s_end else "-",
    }


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
