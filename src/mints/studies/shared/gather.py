"""Everything that a run will open, brought to this machine before it starts; or a list of all that cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mints.data.catalogue import names_below, read_catalogue
from mints.data.download import Track
from mints.data.sources import MissingError, Shelf, bring, bring_repository
from mints.errors import MintsError
from mints.locations import CACHE, Digest, Remote, choices, hub_folder, is_hub_id, parse
from mints.models.hub import checkpoint_files
from mints.models.known import known_checkpoints, suggestion
from mints.pipeline.progress import Reporter
from mints.pipeline.step import Step
from mints.study_config import StudyConfig, shipped_checkpoint

NOT_HERE = "does not exist on this machine"


class Wanted(NamedTuple):
    """Something that a run opens and no step makes."""

    purpose: str
    """What for, in the words of the configuration: `task ctcf, peaks`."""

    source: Path | Remote | Checkpoint


class Checkpoint(NamedTuple):
    """A model that is named as the hub names it."""

    repository: str
    revision: str
    promised: dict[str, Digest]
    """Hashes of its files that the configuration knows."""


def wanted(config: StudyConfig, steps: Iterable[Step]) -> list[Wanted]:
    """What these steps open, each once, in the configuration's order; what the run itself makes is not among it."""
    opened = {field for step in steps for field in step.opens}
    found = [item for field in type(config).model_fields for item in _opened(config, field, opened)]
    made_here = config.results.resolve()
    kept = [w for w in found if not (isinstance(w.source, Path) and w.source.resolve().is_relative_to(made_here))]
    return list({str(w.source): w for w in reversed(kept)}.values())[::-1]


def _opened(config: StudyConfig, field: str, opened: set[str]) -> Iterator[Wanted]:
    """Locations in a field that is opened, or in those parts of it that are, which go by dotted names."""
    if field in opened:
        yield from _inside(config, field, "")
        return
    section = getattr(config, field)
    for name in getattr(type(section), "model_fields", ()):
        if f"{field}.{name}" in opened:
            yield from _inside(section, name, f"{field}, ")


def _inside(section: Any, field: str, where: str) -> Iterator[Wanted]:
    """Locations in one field of a section. where: name of the section, which goes before the field's."""
    value, purpose = getattr(section, field), f"{where}{field}"
    if field == "model":
        if is_hub_id(value):
            promised = {name: Digest("sha256", known) for name, known in section.model_sha256.items()}
            yield Wanted(purpose, Checkpoint(value, section.model_revision or "main", promised))
        elif shipped_checkpoint(value) is None:
            yield Wanted(purpose, Path(value))
        return
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, Path) or (isinstance(part, str) and "://" in part):
            yield Wanted(purpose, parse(part))
        for name in getattr(type(part), "model_fields", ()):
            yield from _inside(part, name, f"{field} {getattr(part, 'name', '')}".strip() + ", ")


def gather(config: StudyConfig, steps: Iterable[Step], shelf: Shelf, reporter: Reporter, command: str) -> None:
    """Bring everything that the steps open.

    command: what would bring it on a machine with a network. Raises MintsError with the list of all that is missing,
    and at once for bytes that are wrong.
    """
    missing: list[tuple[str, str, str]] = []
    items = wanted(config, steps)
    for item in items:
        try:
            _bring(item, shelf, reporter)
        except MissingError as error:
            missing.append((item.purpose, error.location, error.reason))
    if missing:
        raise MintsError(missing_report(missing, len(items), command))


def _bring(item: Wanted, shelf: Shelf, reporter: Reporter) -> None:
    def tracked(name: str) -> Track:
        return lambda megabytes, total: reporter.track(megabytes, total=total, description=name, unit="MB")

    source = item.source
    if isinstance(source, Checkpoint):
        _bring_checkpoint(source, shelf, tracked)
    elif isinstance(source, Remote):
        bring(source, shelf, tracked(source.path.name))
    elif not source.exists():
        raise MissingError(str(source), NOT_HERE)


def _bring_checkpoint(checkpoint: Checkpoint, shelf: Shelf, track: Callable[[str], Track]) -> None:
    name, revision, promised = checkpoint
    try:
        bring_repository("models", name, revision, shelf, wanted=_wanted_of(checkpoint), promised=promised, track=track)
    except MissingError as error:
        if name in known_checkpoints():
            raise
        raise MissingError(error.location, f"{error.reason}; {suggestion(name)}") from None


def _wanted_of(checkpoint: Checkpoint) -> Callable[[list[str]], list[str]]:
    """A repository's choice of files, which must be a checkpoint's."""

    def choose(names: list[str]) -> list[str]:
        chosen = checkpoint_files(names)
        if not chosen:
            there = ", ".join(names[:8])
            raise MissingError(checkpoint.repository, f"the repository holds no checkpoint: there are {there}")
        return chosen

    return choose


def missing_report(missing: Sequence[tuple[str, str, str]], of: int, command: str) -> str:
    """Everything that is missing, by reason, and how to get it. missing: purpose, location and reason of each."""
    if len(missing) == 1 and missing[0][2] == NOT_HERE:
        return "{}: {} {}".format(*missing[0])
    lines = [f"{len(missing)} of {of} sources cannot be had, so that nothing was started"]
    for reason in dict.fromkeys(reason for _, _, reason in missing):
        lines.append(f"{reason}:")
        lines += [f"  {purpose}: {location}" for purpose, location, because in missing if because == reason]
    if any(reason != NOT_HERE for _, _, reason in missing):
        lines += [
            "no network? On a machine that has one:",
            f"  {command} --fetch-only",
            f"then copy its {CACHE} here, or give it as --mirror DIR; or give files of this machine instead",
        ]
    return "\n".join(lines)


def sources_record(config: StudyConfig, steps: Iterable[Step], shelf: Shelf) -> list[dict[str, Any]]:
    """Where everything remote came from: location, path, bytes and the hash that was checked, for the manifest."""
    catalogue = read_catalogue(shelf.cache)
    rows: list[dict[str, Any]] = []
    for item in wanted(config, steps):
        if isinstance(item.source, Path):
            continue
        for location, path in _files(item.source, list(catalogue)):
            row: dict[str, Any] = {"purpose": item.purpose, "location": location, "path": str(shelf.cache / path)}
            if known := catalogue.get(path):
                row |= {"hash": ":".join(known.digest), "bytes": known.bytes}
            rows.append(row)
    return rows


def _files(source: Remote | Checkpoint, catalogued: list[str]) -> Iterator[tuple[str, str]]:
    """Location and path below the cache of every file."""
    if isinstance(source, Remote):
        there = [choice for choice in choices(source) if str(choice.path) in catalogued]
        yield from ((choice.location, str(choice.path)) for choice in there[:1])
        return
    folder = hub_folder("models", source.repository, source.revision)
    for name in names_below(catalogued, folder):
        yield f"hf://models/{source.repository}@{source.revision}/{name}", f"{folder}/{name}"
