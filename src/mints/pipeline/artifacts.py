"""Artifacts on disk: written whole or not at all, in formats whose bytes depend on their content alone."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mints.errors import MintsError
from mints.pipeline.step import StepContractError

if TYPE_CHECKING:
    from numpy import ndarray

FIGURE_DPI = 150
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Earliest time that a zip archive can hold: a fixed one, so that equal arrays give equal bytes."""


def temporary_name(path: Path) -> Path:
    """Where `path` is written before it takes its name: beside it, hidden, carrying this process's id."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Write a file beside its place: yields the temporary path, which is flushed to disk, or removed on error.

    `put_in_place` gives the file its name. Raises MintsError where the disk is full, and
    StepContractError where nothing was written.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if not temporary.is_file():
            raise StepContractError(f"nothing was written to the temporary path of {path.name}")
        _flush(temporary)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if _is_disk_full(error):
            raise MintsError(
                f"disk full while writing {path}: {error}; free some space and run again, finished steps are kept"
            ) from error
        raise


def put_in_place(path: Path) -> None:
    """Give the file written aside its name; a reader sees the old content or the new, never a part."""
    temporary_name(path).replace(path)
    _flush_folder(path.parent)


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Both in one: write aside, then put in place unless the body raised."""
    with written_aside(path) as temporary:
        yield temporary
    put_in_place(path)


def remove_stale_temporaries(folder: Path) -> None:
    """Remove what dead processes left half-written below `folder`; call it only while holding the folder's lock."""
    for path in folder.rglob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
            path.unlink(missing_ok=True)


def _is_disk_full(error: BaseException) -> bool:
    # Libraries written in Rust or C++ report a full disk by text, without an errno.
    by_number = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return by_number or (not isinstance(error, MintsError) and "No space left on device" in str(error))


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and needs no flush after a rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: Any) -> Any:
    """Plain JSON values: arrays and tensors as lists, models and named tuples as objects, NaN and infinities as null.

    Raises TypeError for anything else (a set has no order, a DataFrame belongs into a table).
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {_to_key(key): to_json(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return to_json(value._asdict())
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if hasattr(value, "model_dump"):
        return to_json(value.model_dump())
    if hasattr(value, "dtype") and hasattr(value, "tolist") and not hasattr(value, "iloc"):
        return to_json(value.tolist())
    raise TypeError(f"a {type(value).__name__} has no place in JSON")


def _to_key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if hasattr(key, "item"):
        key = key.item()
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise TypeError(f"a {type(key).__name__} cannot name a JSON field")


def write_json(path: Path, value: Any) -> None:
    """Fields in their own order, floats as Python writes them back exactly."""
    path.write_text(json.dumps(to_json(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_npz(path: Path, arrays: Mapping[str, ndarray]) -> None:
    """Uncompressed NPZ without pickles. Raises ValueError for an array of Python objects."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write_entries(archive, arrays)


def write_npz_rows(
    path: Path,
    arrays: Mapping[str, ndarray],
    streamed: str,
    shape: Sequence[int],
    blocks: Iterable[ndarray],
    dtype: str = "float32",
) -> None:
    """NPZ with an array of this shape written block by block along its first axis, so that memory stays small.

    Raises StepContractError where the blocks do not add up to the shape.
    """
    import numpy as np
    from numpy.lib import format as npy

    header = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": tuple(shape)}
    rows = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write_entries(archive, arrays)
        with archive.open(_entry(streamed), "w", force_zip64=True) as file:
            npy.write_array_header_1_0(file, header)
            for block in blocks:
                if block.shape[1:] != tuple(shape[1:]):
                    raise StepContractError(f"a block of {path.name} has shape {block.shape}, not (…, {shape[1:]})")
                file.write(block.astype(dtype, order="C", copy=False).tobytes())
                rows += len(block)
    if rows != shape[0]:
        raise StepContractError(f"{path.name} was given {rows} rows, not {shape[0]}")


def _write_entries(archive: zipfile.ZipFile, arrays: Mapping[str, ndarray]) -> None:
    from numpy import asarray
    from numpy.lib import format as npy

    for name, array in arrays.items():
        with archive.open(_entry(name), "w", force_zip64=True) as file:
            npy.write_array(file, asarray(array), allow_pickle=False)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{name}.npy", ZIP_EPOCH)
    entry.create_system = 3  # the same header on every operating system
    return entry


def read_npz(path: Path) -> dict[str, ndarray]:
    """All arrays of an NPZ file, checked against the archive's checksums."""
    from numpy import load

    with load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _write_csv(path: Path, table: Any) -> None:
    table.to_csv(path, index=False, float_format="%.8g", lineterminator="\n", encoding="utf-8")


def _read_csv(path: Path) -> Any:
    from pandas import read_csv

    return read_csv(path)


def _write_parquet(path: Path, table: Any) -> None:
    table.to_parquet(path, index=False, engine="pyarrow")


def _read_parquet(path: Path) -> Any:
    from pandas import read_parquet

    return read_parquet(path, engine="pyarrow")


def _write_safetensors(path: Path, arrays: Mapping[str, ndarray]) -> None:
    from numpy import asarray
    from safetensors.numpy import save_file

    save_file({name: asarray(array, order="C") for name, array in arrays.items()}, path)


def _read_safetensors(path: Path) -> dict[str, ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def _write_png(path: Path, figure: Any) -> None:
    """Write a matplotlib figure without the library's version in it, and close it."""
    figure.savefig(path, format="png", dpi=FIGURE_DPI, bbox_inches="tight", metadata={"Software": None})
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(figure)


_WRITERS: dict[str, Callable[[Path, Any], None]] = {
    ".csv": _write_csv,
    ".json": write_json,
    ".npz": write_npz,
    ".parquet": _write_parquet,
    ".png": _write_png,
    ".safetensors": _write_safetensors,
}
_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _read_csv,
    ".json": read_json,
    ".npz": read_npz,
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
}


def write(path: Path, value: Any, suffix: str) -> None:
    """Write a value in the format that the suffix names. Raises StepContractError for a suffix without one."""
    if suffix not in _WRITERS:
        raise StepContractError(f"no format for *{suffix} ({path.name}): there are {', '.join(_WRITERS)}; use create")
    _WRITERS[suffix](path, value)


def read(path: Path, suffix: str) -> Any:
    """Read a file in the format that the suffix names.

    Raises MintsError where the file is damaged, StepContractError for a suffix without a format.
    """
    if suffix not in _READERS:
        raise StepContractError(f"no reader for *{suffix} ({path.name}): there are {', '.join(_READERS)}; use path")
    try:
        return _READERS[suffix](path)
    except MemoryError:
        raise
    except Exception as error:  # each library has its own family of complaints about a damaged file
        raise MintsError(f"cannot read {path}: {error}") from error
