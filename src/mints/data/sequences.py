"""Sequences: reading FASTA, letters to codes and back, and random access to a genome."""

from __future__ import annotations

import difflib
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from mints.errors import MintsError

BASES = "ACGTN"
"""Letter of each code: A0 C1 G2 T3 N4."""

IUPAC = frozenset("ACGTUNRYSWKMBDHV")
GZIP_MAGIC = b"\x1f\x8b"
BLANK = b" \t\r\n"
BATCH = 1 << 22
"""Bytes of a file that are read at once."""

NOT_DNA = "a DNA sequence has the letters ACGTUN and the IUPAC codes RYSWKMBDHV"

_TO_CODE = np.full(256, 4, dtype=np.uint8)
for _code, _letter in enumerate("ACGT"):
    _TO_CODE[ord(_letter)] = _code
_TO_LETTER = np.frombuffer(BASES.encode(), dtype=np.uint8)
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
_TO_ACGTN = bytes.maketrans(b"URYSWKMBDHV", b"TNNNNNNNNNN")


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

    replaced: Counter[str] = field(default_factory=Counter)
    """IUPAC letters that became N, and U that became T, with their numbers."""


def read_fasta(path: Path, counts: ReadCounts | None = None) -> Iterator[FastaRecord]:
    """Records of a FASTA file, plain or gzip; soft-masked letters are upper-cased and counted changes go to `counts`.

    Raises MintsError, with the line, for a file that is missing, empty, damaged or no FASTA, for a record without
    sequence, and for letters that no DNA has.
    """
    counts = ReadCounts() if counts is None else counts
    name: str | None = None
    parts: list[str] = []
    for first, lines in _batches(path):
        begin = 0
        headers = [place for place, line in enumerate(lines) if line.startswith(b">")]
        for end in (*headers, len(lines)):
            if name is None:
                _require_blank(lines[begin:end], path, first + begin)
            else:
                parts.append(_clean_lines(lines[begin:end], path, first + begin, counts))
            if end < len(lines):
                if name is not None:
                    yield _record(path, name, parts, counts)
                name, parts = lines[end][1:].decode("utf-8", "replace").strip(), []
            begin = end + 1
    if name is None:
        raise MintsError(f"{path} is empty: expected FASTA records")
    yield _record(path, name, parts, counts)


def _require_blank(lines: list[bytes], path: Path, first: int) -> None:
    for number, line in enumerate(lines, start=first):
        if line.strip():
            raise MintsError(f"{path} line {number}: no FASTA: the first line does not begin with '>'")


def _clean_lines(lines: list[bytes], path: Path, first: int, counts: ReadCounts) -> str:
    """Letters of successive lines. Only lines with anything but ACGTN, which are rare, are looked at one by one."""
    letters = b"".join(lines).translate(None, BLANK)
    if not letters.translate(None, b"ACGTNacgtn"):
        return letters.upper().decode("ascii")
    numbered = enumerate(lines, start=first)
    return "".join(clean_letters(line.translate(None, BLANK), f"{path} line {n}", counts) for n, line in numbered)


def clean_letters(letters: bytes, where: str, counts: ReadCounts) -> str:
    """Upper-case ACGTN of raw letters. Raises MintsError naming the first letter that no DNA has."""
    upper = letters.upper()
    rest = upper.translate(None, b"ACGTN")
    if rest:
        strange = next((chr(letter) for letter in rest if chr(letter) not in IUPAC), None)
        if strange is not None:
            raise MintsError(f"{where}: letter {strange!r} is not DNA: {NOT_DNA}")
        counts.replaced.update(rest.decode("ascii"))
        upper = upper.translate(_TO_ACGTN)
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


class Genome:
    """Random access to the sequences of a FASTA file, which are held in memory as one byte per base."""

    def __init__(self, path: Path, sequences: Mapping[str, str], counts: ReadCounts) -> None:
        self.path = path
        self.counts = counts
        self._sequences = sequences
        self.lengths = {name: len(sequence) for name, sequence in sequences.items()}

    @classmethod
    def open(cls, path: Path | str) -> Genome:
        """Read a FASTA file, plain or gzip; a chromosome's name is the first word of its header.

        Raises MintsError as `read_fasta` does, and where two chromosomes have one name.
        """
        path, counts = Path(path), ReadCounts()
        sequences: dict[str, str] = {}
        for record in read_fasta(path, counts):
            name = record.name.split()[0] if record.name.split() else ""
            if name in sequences or not name:
                raise MintsError(
                    f"{path} has two sequences called {name!r}" if name else f"{path} has a nameless record"
                )
            sequences[name] = record.sequence
        return cls(path, sequences, counts)

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        """Bases of [start, end). Raises MintsError for an unknown chromosome or a place beyond its ends."""
        length = self.length_of(chromosome)
        if not 0 <= start <= end <= length:
            raise MintsError(
                f"{chromosome}:{start}-{end} is outside {self.path}, where {chromosome} has {length} bases"
            )
        return self._sequences[chromosome][start:end]

    def length_of(self, chromosome: str) -> int:
        """Length in bases. Raises MintsError naming a chromosome of a similar name."""
        if chromosome not in self.lengths:
            other = chromosome.removeprefix("chr") if chromosome.startswith("chr") else f"chr{chromosome}"
            close = [other] if other in self.lengths else difflib.get_close_matches(chromosome, self.lengths, 1)
            hint = f"; it has {close[0]}: are the names of the same assembly?" if close else ""
            raise MintsError(f"chromosome {chromosome} is not in {self.path}{hint}")
        return self.lengths[chromosome]


def _record(path: Path, name: str, parts: list[str], counts: ReadCounts) -> FastaRecord:
    sequence = "".join(parts)
    if not sequence:
        raise MintsError(f"{path}: record {name!r} has no sequence")
    counts.records += 1
    counts.bases += len(sequence)
    return FastaRecord(name, sequence)


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
