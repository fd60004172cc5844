"""What a step's result depends on, as digests, and the difference between two such records in plain words."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mints.pipeline.artifacts import read_json, to_json, write_json, written_atomically

CACHE = ".hash_cache.json"
MISSING = "missing"
SETTLED_SECONDS = 2.0
"""A file changed more recently than this may change again within one tick of its clock: its digest is not kept."""


class Hasher:
    """SHA-256 of files and folders; remembers a file as long as its size, time and inode stay the same.

    Digests of files outside the results folder are kept there for later runs, as a genome takes long to read. Artifacts
    are read anew by each Hasher, so that one changed on disk is found.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._kept: dict[str, list[Any]] = {}
        self._seen: dict[str, tuple[list[int], str]] = {}
        with suppress(OSError, ValueError):
            recorded = read_json(root / CACHE)
            self._kept = recorded if isinstance(recorded, dict) else {}

    def file(self, path: Path) -> str:
        """Hexadecimal SHA-256 of a file's content."""
        path = path.resolve()
        status = path.stat()
        state = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._seen.get(str(path))
        if known and known[0] == state:
            return known[1]
        kept = self._kept.get(str(path))
        if isinstance(kept, list) and kept[:-1] == state:
            return str(kept[-1])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._seen[str(path)] = (state, digest)
        if not path.is_relative_to(self._root) and time.time() - status.st_mtime > SETTLED_SECONDS:
            self._kept[str(path)] = [*state, digest]
        return digest

    def path(self, path: Path) -> str:
        """`sha256:…` of a file, or of a folder's sorted relative names and contents; else `missing`.

        Hidden files, such as the locks of a download, are no content.
        """
        if path.is_file():
            return f"sha256:{self.file(path)}"
        if not path.is_dir():
            return MISSING
        names = sorted(
            (Path(folder) / name).relative_to(path).as_posix()
            for folder, _, files in os.walk(path)
            for name in files
            if not name.startswith(".")
        )
        listing = "\n".join(f"{name} {self.file(path / name)}" for name in names)
        return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"

    def keep(self) -> None:
        """Write the digests of files outside the results folder for later runs."""
        if not self._kept:
            return
        with written_atomically(self._root / CACHE) as temporary:
            write_json(temporary, self._kept)


@dataclass(frozen=True)
class Fingerprint:
    """The parts on which a step's result depends."""

    configuration: Mapping[str, Any]
    """Declared field → its value as plain JSON, paths replaced by the digest of what lies there."""

    inputs: Mapping[str, str]
    """Artifact → SHA-256."""

    code: str
    """See `mints.pipeline.code_version`."""

    def digest(self) -> str:
        """SHA-256 over all parts."""
        parts = {"configuration": self.configuration, "inputs": dict(sorted(self.inputs.items())), "code": self.code}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def difference(self, earlier: Fingerprint) -> str | None:
        """Why a result with the earlier fingerprint is out of date, in plain words; None where it is not."""
        changes = list(_changes(_leaves(dict(earlier.configuration)), _leaves(dict(self.configuration))))
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            return f"configuration changed: {', '.join(changes[:3])}{more}"
        for name in sorted({*self.inputs, *earlier.inputs}):
            if name not in earlier.inputs:
                return f"input {name} is new"
            if name not in self.inputs:
                return f"input {name} is no longer used"
            if self.inputs[name] != earlier.inputs[name]:
                return f"input {name} changed"
        return "its code changed" if self.code != earlier.code else None


def plain_value(value: Any, hasher: Hasher, artifact_of: Mapping[Path, str]) -> Any:
    """A configuration value as plain JSON in which the content of files stands for their paths.

    artifact_of: path → name of the artifacts that steps of this pipeline make; these count as inputs, so that only
    their name stands here.
    """
    if isinstance(value, Path):
        artifact = artifact_of.get(value.resolve())
        return f"artifact {artifact}" if artifact else hasher.path(value)
    if isinstance(value, Mapping):
        return {str(key): plain_value(item, hasher, artifact_of) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain_value(item, hasher, artifact_of) for item in value)
    if isinstance(value, list | tuple):
        return [plain_value(item, hasher, artifact_of) for item in value]
    if hasattr(type(value), "model_fields"):  # pydantic: not model_dump, which would turn paths into text
        fields = type(value).model_fields
        return {name: plain_value(getattr(value, name), hasher, artifact_of) for name in fields}
    return to_json(value)


def paths_in(value: Any) -> Iterator[Path]:
    """Every path inside a configuration value."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from paths_in(item)
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from paths_in(getattr(value, name))


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Nested values under dotted names: {"tasks[0].window": 200}; an empty list or section is a leaf."""
    if isinstance(value, dict) and value:
        return {
            leaf: item
            for key, nested in value.items()
            for leaf, item in _leaves(nested, f"{name}.{key}" if name else key).items()
        }
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return {
            leaf: item
            for index, nested in enumerate(value)
            for leaf, item in _leaves(nested, f"{name}[{index}]").items()
        }
    return {name: value}


def _changes(earlier: dict[str, Any], later: dict[str, Any]) -> Iterator[str]:
    """One text per leaf that differs: `seed 0 -> 1`."""
    for name in dict.fromkeys([*earlier, *later]):
        if name not in earlier:
            yield f"{name} is new"
        elif name not in later:
            yield f"{name} is gone"
        elif earlier[name] != later[name]:
            both_content = all(str(value).startswith("sha256:") for value in (earlier[name], later[name]))
            yield (
                f"content of {name}" if both_content else f"{name} {_shortly(earlier[name])} -> {_shortly(later[name])}"
            )


def _shortly(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    text = text[:15] if text.startswith("sha256:") else text
    return text if len(text) <= 40 else f"{text[:37]}..."
