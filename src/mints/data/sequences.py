"""Sequences: reading FASTA, and letters to codes and back."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from mints.errors import MintsError

BASES = "ACGTN"
"""Letter of each code: A0 C1 G2 T3 N4."""

GZIP_MAGIC = b"\x1f\x8b"
BLANK = b" \t\r\n"
BATCH = 1 << 22
"""Bytes of a file that are read at once."""

_TO_CODE = np.full(256, 4, dtype=np.uint8)
for _code, _letter in enumerate("ACGT"):
    _TO_CODE[ord(_letter)] = _code
_TO_LETTER = np.frombuffer(BASES.encode(), dtype=np.uint8)
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


class Alphabet(NamedTuple):
    """Letters of a kind of sequence; lower case counts as upper case."""

    plain: bytes
    """Upper-case letters that stay as they are."""

    others: bytes
    """Upper-case letters that are allowed too, and counted."""

    becomes: bytes
    """What each of the others becomes."""

    name: str
    rule: str
    """For messages: which letters such a sequence has."""


DNA = Alphabet(
    plain=b"ACGTN",
    others=b"URYSWKMBDHV",
    becomes=b"TNNNNNNNNNN",
    name="DNA",
    rule="a DNA sequence has the letters ACGTUN and the IUPAC codes RYSWKMBDHV",
)


class FastaRecord(NamedTuple):
    """One sequence of a FASTA file."""

    name: str
    """The whole header, without `>`."""

    sequence: str
    """Upper-case ACGTN."""


@dataclass
class ReadCounts:
    """What was changed while reading."""

    records: int = 0
    bases: int = 0
    other_labels: int = 0
    """Rows of a task table that were left out because the task does not use their label."""

    other_tasks: int = 0
    """Rows of a task table that belong to other tasks."""

    replaced: Counter[str] = field(default_factory=Counter)
    """Letters that the alphabet allows beside its plain ones, with their numbers: of DNA IUPAC letters, which became N,
    and U, which became T.
    """

    def add_record(self, path: Path, name: str, bases: int) -> None:
        """Count a record. Raises MintsError for one without sequence."""
        if not bases:
            raise MintsError(f"{path}: record {name!r} has no sequence")
        self.records += 1
        self.bases += bases


class FastaPiece(NamedTuple):
    """Part of a sequence; parts follow one another, and every sequence has at least one."""

    record: int
    """Number of its record in the file."""

    header: str
    """The record's whole header, without `>`."""

    letters: str
    """Upper-case letters of the alphabet, of DNA ACGTN."""


def record_of(piece: FastaPiece) -> tuple[int, str]:
    """What the pieces of one record have in common."""
    return piece.record, piece.header


def read_fasta(path: Path, counts: ReadCounts | None = None) -> Iterator[FastaRecord]:
    """Records of a FASTA file, plain or gzip; soft-masked letters are upper-cased and counted changes go to `counts`.

    Raises MintsError, with the line, for a file that is missing, empty, damaged or no FASTA, for a record without
    sequence, and for letters that no DNA has.
    """
    counts = ReadCounts() if counts is None else counts
    for (_, header), pieces in groupby(fasta_pieces(path, counts), key=record_of):
        sequence = "".join(piece.letters for piece in pieces)
        counts.add_record(path, header, len(sequence))
        yield FastaRecord(header, sequence)


def fasta_pieces(path: Path, counts: ReadCounts, alphabet: Alphabet = DNA) -> Iterator[FastaPiece]:
    """The same in pieces of at most a few megabytes, for sequences that are too long to be held whole.

    Records are not counted here, nor checked to have a sequence: `ReadCounts.add_record` does both.
    """
    record, header = 0, ""
    for first, lines in _batches(path):
        begin = 0
        headers = [place for place, line in enumerate(lines) if line.startswith(b">")]
        for end in (*headers, len(lines)):
            if record == 0:
                _require_blank(lines[begin:end], path, first + begin)
            else:
                letters = _clean_lines(lines[begin:end], path, first + begin, counts, alphabet)
                yield FastaPiece(record, header, letters)
            if end < len(lines):
                record, header = record + 1, lines[end][1:].decode("utf-8", "replace").strip()
            begin = end + 1
    if record == 0:
        raise MintsError(f"{path} is empty: expected FASTA records")


def _require_blank(lines: list[bytes], path: Path, first: int) -> None:
    for number, line in enumerate(lines, start=first):
        if line.strip():
            raise MintsError(f"{path} line {number}: no FASTA: the first line does not begin with '>'")


def _clean_lines(lines: list[bytes], path: Path, first: int, counts: ReadCounts, alphabet: Alphabet) -> str:
    """Letters of successive lines. Only lines with any but plain letters, which are rare, are looked at one by one."""
    letters = b"".join(lines).translate(None, BLANK)
    if not letters.translate(None, alphabet.plain + alphabet.plain.lower()):
        return letters.upper().decode("ascii")
    numbered = enumerate(lines, start=first)
    return "".join(
        clean_letters(line.translate(None, BLANK), f"{path} line {n}", counts, alphabet) for n, line in numbered
    )


def clean_letters(letters: bytes, where: str, counts: ReadCounts, alphabet: Alphabet = DNA) -> str:
    """Upper-case letters of the alphabet, of DNA ACGTN. Raises MintsError naming the first letter that is none."""
    upper = letters.upper()
    rest = upper.translate(None, alphabet.plain)
    if rest:
        strange = rest.translate(None, alphabet.others)
        if strange:
            raise MintsError(f"{where}: letter {chr(strange[0])!r} is not {alphabet.name}: {alphabet.rule}")
        counts.replaced.update(rest.decode("ascii"))
        upper = upper.translate(bytes.maketrans(alphabet.others, alphabet.becomes))
    return upper.decode("ascii")


def encode(sequence: str) -> UInt8[ndarray, "position"]:
    """Codes A0 C1 G2 T3; every other letter is N4."""
    return _TO_CODE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]


def decode(codes: UInt8[ndarray, "position"]) -> str:
    """Letters of codes."""
    return bytes(_TO_LETTER[codes]).decode("ascii")


def reverse_complement(sequence: str) -> str:
    """The other strand, 5' to 3'."""
    return sequence.translate(_COMPLEMENT)[::-1]


def _batches(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Lines of a file in batches, each with the number of its first line."""
    first = 1
    try:
        with open_maybe_gzip(path) as stream:
            while lines := stream.readlines(BATCH):
                yield first, lines
                first += len(lines)
    except FileNotFoundError:
        raise MintsError(f"{path} does not exist") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MintsError(f"{path} is a damaged or truncated gzip file: {error}") from None
    except OSError as error:
        raise MintsError(f"{path} cannot be read: {error}") from None


def open_maybe_gzip(path: Path) -> BinaryIO | gzip.GzipFile:
    """A file for reading bytes, unpacked where its content is gzip. Raises MintsError for a `.gz` that is not."""
    with path.open("rb") as stream:
        packed = stream.read(2) == GZIP_MAGIC
    if path.suffix == ".gz" and not packed and path.stat().st_size:
        raise MintsError(f"{path} ends in .gz and is not gzip")
    return gzip.open(path, "rb") if packed else path.open("rb")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal. Raises MintsError for a file that cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise MintsError(f"{path} does not exist") from None
    except OSError as error:
        raise MintsError(f"{path} cannot be read: {error}") from None
