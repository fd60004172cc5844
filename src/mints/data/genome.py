"""A genome on disk, three bases in a byte: any window is one short read, and no chromosome is held in memory.

The copy is made once per FASTA file and kept under the file's SHA-256. A byte is 25a + 5b + c of three codes, so that N
needs no list of its own and every base has a place that is known beforehand.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby, product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from jaxtyping import UInt8
from numpy import ndarray

from mints.data.sequences import BASES, FastaPiece, ReadCounts, encode, fasta_pieces, file_sha256, record_of
from mints.data.tracking import Track, untracked
from mints.errors import MintsError
from mints.pipeline.artifacts import read_json, write_json, written_atomically

GENOMES = Path("data") / "genomes"
"""Where the copies are kept."""

LAYOUT = 1
"""Raised when a copy would be written otherwise, or letters read otherwise: older copies are then made anew."""

_LETTERS = np.frombuffer("".join(map("".join, product(BASES, repeat=3))).encode(), dtype=np.uint8).reshape(-1, 3)
"""The three letters of every byte."""


class Genome:
    """Random access to the sequences of a FASTA file."""

    path: Path
    """The FASTA file."""

    sha256: str
    """Its digest."""

    counts: ReadCounts
    """Records, bases and replaced letters."""

    lengths: dict[str, int]
    """Bases of every chromosome, in the order of the file."""

    def __init__(self, path: Path, sha256: str, copy: Path, note: dict[str, Any]) -> None:
        """Of a FASTA file's copy and the note beside it; use `open`."""
        self.path = path
        self.sha256 = sha256
        self.counts = ReadCounts(note["records"], note["bases"], replaced=Counter(note["replaced"]))
        self.lengths = {name: length for name, (_, length) in note["chromosomes"].items()}
        self._offsets = {name: offset for name, (offset, _) in note["chromosomes"].items()}
        # Unbuffered, since windows are short and far apart.
        self._stream = copy.open("rb", buffering=0)
        weakref.finalize(self, self._stream.close)

    @classmethod
    def open(cls, path: Path | str, cache: Path = GENOMES, track: Track = untracked) -> Genome:
        """A FASTA file, plain or gzip; a chromosome's name is the first word of its header.

        cache: folder of the copies. A missing or damaged copy is made; two processes that want one wait for each other.
        track: shows the progress of that. Raises MintsError as `read_fasta` does, where two chromosomes have one name,
        and where the copy cannot be kept.
        """
        path = Path(path)
        sha256 = file_sha256(path)
        copy = cache / f"{sha256[:32]}.bases"
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(copy.with_name(f".{copy.name}.lock")):
                note = _read_note(copy)
                return cls(path, sha256, copy, _make_copy(path, copy, track) if note is None else note)
        except OSError as error:
            raise MintsError(f"cannot keep a copy of {path} in {cache}: {error.strerror or error}") from None

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        """Bases of [start, end). Raises MintsError for an unknown chromosome or a place beyond its ends."""
        length = self.length_of(chromosome)
        if not 0 <= start <= end <= length:
            raise MintsError(
                f"{chromosome}:{start}-{end} is outside {self.path}, where {chromosome} has {length} bases"
            )
        first, last = start // 3, -(-end // 3)
        self._stream.seek(self._offsets[chromosome] + first)
        letters = _LETTERS[np.frombuffer(self._stream.read(last - first), dtype=np.uint8)].reshape(-1)
        return letters[start - 3 * first : end - 3 * first].tobytes().decode("ascii")

    def length_of(self, chromosome: str) -> int:
        """Length in bases. Raises MintsError naming a chromosome of a similar name."""
        if chromosome not in self.lengths:
            other = chromosome.removeprefix("chr") if chromosome.startswith("chr") else f"chr{chromosome}"
            close = [other] if other in self.lengths else difflib.get_close_matches(chromosome, self.lengths, 1)
            hint = f"; it has {close[0]}: are the names of the same assembly?" if close else ""
            raise MintsError(f"chromosome {chromosome} is not in {self.path}{hint}")
        return self.lengths[chromosome]


def _note_of(copy: Path) -> Path:
    return copy.with_suffix(".json")


def _read_note(copy: Path) -> dict[str, Any] | None:
    """What is known of a copy; None where there is none, or one that is damaged or of an older layout."""
    with suppress(OSError, ValueError):
        note = read_json(_note_of(copy))
        if isinstance(note, dict) and note.get("layout") == LAYOUT and note.pop("sha256", None) == _seal(copy, note):
            return note
    return None


def _seal(copy: Path, note: dict[str, Any]) -> str:
    """SHA-256 of the copy and the note together."""
    with copy.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    digest.update(json.dumps(note).encode())
    return digest.hexdigest()


def _make_copy(path: Path, copy: Path, track: Track) -> dict[str, Any]:
    """Write the copy and then its note, which makes it count. Call it only while holding the copy's lock."""
    for left_behind in copy.parent.glob(f".{copy.stem}.*.tmp"):
        left_behind.unlink()
    counts = ReadCounts()
    pieces = track(fasta_pieces(path, counts), description=f"reading {path.name}", unit="pieces of 4 MB")
    with written_atomically(copy) as temporary, temporary.open("wb") as stream:
        chromosomes = _write_bases(path, iter(pieces), stream, counts)
    note = {
        "layout": LAYOUT,
        "records": counts.records,
        "bases": counts.bases,
        "replaced": dict(counts.replaced),
        "chromosomes": chromosomes,
    }
    with written_atomically(_note_of(copy)) as temporary:
        write_json(temporary, {"sha256": _seal(copy, note), **note})
    return note


def _write_bases(
    path: Path, pieces: Iterator[FastaPiece], stream: BinaryIO, counts: ReadCounts
) -> dict[str, list[int]]:
    """Chromosome → first byte and number of bases."""
    chromosomes: dict[str, list[int]] = {}
    for (_, header), parts in groupby(pieces, key=record_of):
        name = next(iter(header.split()), "")
        if name in chromosomes or not name:
            raise MintsError(f"{path} has two sequences called {name!r}" if name else f"{path} has a nameless record")
        begin, bases, rest = stream.tell(), 0, encode("")
        for part in parts:
            bases += len(part.letters)
            codes = np.concatenate([rest, encode(part.letters)])
            whole = len(codes) // 3 * 3
            stream.write(pack(codes[:whole]))
            rest = codes[whole:]
        stream.write(pack(rest))
        counts.add_record(path, header, bases)
        chromosomes[name] = [begin, bases]
    return chromosomes


def pack(codes: UInt8[ndarray, "position"]) -> bytes:
    """Three codes in a byte; the last byte is filled up with A."""
    triplets = np.pad(codes, (0, -len(codes) % 3)).reshape(-1, 3)
    packed: UInt8[ndarray, "byte"] = 25 * triplets[:, 0] + 5 * triplets[:, 1] + triplets[:, 2]
    return packed.tobytes()
