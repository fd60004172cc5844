"""Nanopore reads as files have them: POD5 by its library, and NumPy arrays with a sample rate."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from mints.errors import MintsError

HOW = (
    "expected a .pod5 file, a folder of them, or a .npz or .npy with `signal` in pA (a row for each read, or all reads "
    "one after another with `lengths`; also `read_ids`, `sequences`)"
)


class RawRead(NamedTuple):
    """One read."""

    read: str
    """Its id; of arrays without ids its number."""

    current: Float32[ndarray, "sample"]
    """pA."""

    sample_rate: int
    """Samples per second."""

    sequence: str = ""
    """Its true bases, where arrays say them."""


def read_signals(path: Path, *, sample_rate: int | None = None, only: Sequence[str] = ()) -> Iterator[RawRead]:
    """Reads of a POD5 file, of all POD5 files of a folder in the order of their names, or of a NumPy file.

    sample_rate: of arrays that do not state it as `sample_rate`; POD5 states its own. only: ids of the reads that are
    wanted, default all; they come in the file's order. Raises MintsError for a file that is missing, damaged, empty or
    of another kind, for an id that no read or more than one has, and for current that is no number.
    """
    missing = set(only)
    seen: set[str] = set()
    for read in _reads(path, sample_rate, missing):
        if read.read in seen:
            raise MintsError(f"{path} has two reads {read.read}")
        if not read.current.size or not np.isfinite(read.current).all():
            raise MintsError(f"{path}: the current of read {read.read} is empty or has values that are no number")
        seen.add(read.read)
        yield read
    if absent := sorted(missing - seen):
        raise MintsError(f"{path} has no read {', '.join(absent[:3])}")
    if not seen:
        raise MintsError(f"{path} has no reads")


def _reads(path: Path, sample_rate: int | None, only: Collection[str]) -> Iterator[RawRead]:
    if path.is_dir():
        files = sorted(path.glob("*.pod5"))
        if not files:
            raise MintsError(f"{path} has no .pod5 file: {HOW}")
    elif path.is_file():
        files = [path]
    else:
        raise MintsError(f"{path} does not exist")
    for file in files:
        if file.suffix == ".pod5":
            yield from _pod5_reads(file, only)
        elif file.suffix in (".npz", ".npy"):
            yield from (read for read in _array_reads(file, sample_rate) if not only or read.read in only)
        else:
            raise MintsError(f"{path} is no file of reads: {HOW}")


def _pod5_reads(path: Path, only: Collection[str]) -> Iterator[RawRead]:
    library = _pod5_library(path)
    try:
        # All reads are gone through even where few are wanted: the library's own selection refuses the whole request
        # where one of the ids is in another file of the folder.
        with library.Reader(path) as reader:
            for record in reader:
                if not only or str(record.read_id) in only:
                    yield RawRead(str(record.read_id), record.signal_pa, int(record.run_info.sample_rate))
    except MemoryError:
        raise
    except Exception as error:  # the library reports damage by errors of its own, of Arrow's and of the system's
        text = str(error).strip().splitlines()
        raise MintsError(f"{path} is a damaged or truncated POD5 file: {text[0] if text else error!r}") from error


def _pod5_library(path: Path) -> Any:
    try:
        import pod5
    except ImportError:
        raise MintsError(f"{path} needs the pod5 library: pip install 'mints[nanopore]' (or pod5)") from None
    return pod5


def _array_reads(path: Path, sample_rate: int | None) -> Iterator[RawRead]:
    try:
        with path.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            arrays = {"signal": content} if isinstance(content, ndarray) else {name: content[name] for name in content}
    except Exception as error:  # NumPy, zipfile and zlib each have their own
        raise MintsError(f"{path} is a damaged file of arrays: {error}") from None
    stated = arrays.get("sample_rate")
    rate = sample_rate if stated is None else int(stated)
    if rate is None or rate <= 0:
        raise MintsError(f"{path} does not state its sample_rate: give it (--sample-rate, in samples per second)")
    reads = unpack(arrays, path)
    sequences = [str(sequence) for sequence in arrays.get("sequences", [""] * len(reads))]
    if len(sequences) != len(reads):
        raise MintsError(f"{path} has {len(reads)} reads and {len(sequences)} sequences")
    for (name, current), sequence in zip(reads.items(), sequences, strict=True):
        yield RawRead(name, current, rate, sequence)


def pack(signals: Mapping[str, ndarray]) -> dict[str, ndarray]:
    """Arrays of an NPZ of reads of any lengths by their ids: `signal` one after another, `lengths`, `read_ids`."""
    return {
        "signal": np.concatenate(list(signals.values())).astype(np.float32),
        "lengths": np.array([len(signal) for signal in signals.values()]),
        "read_ids": np.array(list(signals)),
    }


def unpack(arrays: Mapping[str, ndarray], path: Path) -> dict[str, Float32[ndarray, "sample"]]:
    """The reads of such arrays by their ids, or of `signal` with a row for each read; numbered where there are no ids.

    Raises MintsError, naming the file, for arrays that are not such.
    """
    signal = arrays.get("signal")
    if signal is None or signal.ndim not in (1, 2) or not np.issubdtype(signal.dtype, np.number):
        raise MintsError(f"{path} is no file of reads: {HOW}")
    if "lengths" in arrays:
        lengths = arrays["lengths"]
        if signal.ndim != 1 or lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != signal.size:
            raise MintsError(f"{path}: the lengths of its reads do not add up to its {signal.size} samples")
        rows = np.split(signal, np.cumsum(lengths)[:-1])
    else:
        rows = list(np.atleast_2d(signal))
    names = [str(name) for name in arrays.get("read_ids", np.arange(len(rows)))]
    if len(names) != len(rows) or len(set(names)) != len(names):
        raise MintsError(f"{path} has {len(rows)} reads and {len(set(names))} read_ids")
    return {name: row.astype(np.float32) for name, row in zip(names, rows, strict=True)}
