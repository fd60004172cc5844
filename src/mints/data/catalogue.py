"""The cache's catalogue: the hash under which each file was promised, for the time when nobody can be asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from mints.data.authorities import Stated
from mints.errors import MintsError
from mints.locations import LENGTHS, Digest

NAME = "catalogue.json"

Catalogue = dict[str, Stated]
"""Path below the cache → what its authority said of it."""


def read_catalogue(folder: Path) -> Catalogue:
    """The catalogue of a cache, or of a mirror in a folder; empty where there is none."""
    path = folder / NAME
    return parse_catalogue(path.read_text(encoding="utf-8"), path) if path.is_file() else {}


def parse_catalogue(text: str, where: Path | str) -> Catalogue:
    """Entries of a catalogue's text. Raises MintsError where it is none."""
    try:
        entries = json.loads(text)["files"]
        return {path: _entry(entry) for path, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MintsError(f"{where} is damaged: remove it, and the files are asked for anew") from None


def _entry(entry: Mapping[str, Any]) -> Stated:
    algorithm, hexadecimal = entry["hash"].split(":")
    if len(hexadecimal) != LENGTHS[algorithm]:
        raise ValueError(f"{hexadecimal} is no {algorithm}")
    return Stated(Digest(algorithm, hexadecimal), entry["bytes"])


def add_to_catalogue(folder: Path, entries: Catalogue) -> None:
    """Keep what was said of some files; several processes may do so at once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{NAME}.lock"):
            known = read_catalogue(folder)
            if entries.items() <= known.items():
                return
            together = known | entries
            files = {path: {"hash": ":".join(s.digest), "bytes": s.bytes} for path, s in sorted(together.items())}
            temporary = folder / f".{NAME}.{os.getpid()}"
            temporary.write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")
            temporary.replace(folder / NAME)
    except OSError as error:
        raise MintsError(f"cannot write {folder / NAME}: {error.strerror or error}") from None


def names_below(paths: Iterable[str], folder: PurePosixPath) -> list[str]:
    """Names, relative to a folder, of the catalogued files in it."""
    prefix = f"{folder}/"
    return sorted(path.removeprefix(prefix) for path in paths if path.startswith(prefix))
