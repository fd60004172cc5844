"""A map over shards, in this process and in a fixed order, that can go on where a killed run stopped."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mints.pipeline.artifacts import read_npz, write_npz, written_atomically

if TYPE_CHECKING:
    from numpy import ndarray

Shard = TypeVar("Shard")

IDENTITY = "__shard__"
"""Array beside a shard's results: the digest of the shard that they belong to."""


def map(
    function: Callable[[Shard], Mapping[str, ndarray]],
    shards: Sequence[Shard],
    *,
    checkpoint: Path | None = None,
    track: Callable[[Iterable[Shard]], Iterable[Shard]] = lambda shards: shards,
) -> Iterator[dict[str, ndarray]]:
    """Apply `function` to every shard, in order, and yield its named arrays.

    checkpoint: folder in which each shard's arrays are kept as `<index>.npz`; what lies there from an earlier run of
        the same shards is loaded instead of computed. A damaged file, or one of another shard, is computed again.
    track: wraps the shards, to show progress.

    The function must depend on its shard alone and shards must be picklable, so that workers can take them; the shards
    must be the same on every machine, so that merged results do not depend on where they were computed.
    """
    for index, shard in enumerate(track(shards)):
        if checkpoint is None:
            yield dict(function(shard))
            continue
        path = checkpoint / f"{index}.npz"
        identity = _identity(shard)
        arrays = _recall(path, identity)
        if arrays is None:
            arrays = dict(function(shard))
            with written_atomically(path) as temporary:
                write_npz(temporary, {**arrays, IDENTITY: identity})
        yield arrays


def _identity(shard: object) -> ndarray:
    from numpy import frombuffer, uint8

    return frombuffer(hashlib.sha256(pickle.dumps(shard, protocol=5)).digest(), dtype=uint8)


def _recall(path: Path, identity: ndarray) -> dict[str, ndarray] | None:
    """Arrays of an earlier run, or None where there are none that can be trusted."""
    try:
        arrays = read_npz(path)
        recorded = arrays.pop(IDENTITY)
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return None
    return arrays if recorded.tobytes() == identity.tobytes() else None
