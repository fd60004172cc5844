"""Reading configurations: shipped profiles, a user's own TOML file, and what they extend."""

from __future__ import annotations

import os
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from mints.errors import MintsError, UsageError
from mints.study_config import RESULTS_PLACEHOLDER, Study, StudyConfig


def read_profile(
    profile: str | None, config: Path | None, model: str | None = None, study: str | None = None
) -> dict[str, Any]:
    """Values of a shipped profile or a user's TOML file, with what it extends underneath, and another model on top.

    A file's paths are meant relative to the file. Raises UsageError for a profile or study that does not exist, or
    where the file is of another study, and MintsError for a file that cannot be read.
    """
    if config is None:
        values = _shipped(study or STUDY, profile or StudyConfig.model_fields["profile"].default, model)
    else:
        own = _parse(config, _read_text(config))
        own = {"study": study or STUDY, "profile": config.stem} | _relative_to(config.parent, own)
        if study not in (None, own["study"]):
            raise UsageError(f"{config} is of the study {own['study']!r}, not {study!r}")
        base = own.pop("extends", profile)
        values = _merge(_shipped(own["study"], base, model or own.get("model")), own) if base else own
    return _merge(values, {"model": model}) if model else values


STUDY: str = StudyConfig.model_fields["study"].default
"""The study of a command that names none. Its profiles lie in profiles/, those of another in a folder of its name."""


OF_ITS_MODEL = ("layers", "sae_dir", "sae_k")
"""Fields of a shipped profile that are about its own model."""


def _shipped(study: str, name: str, model: str | None = None) -> dict[str, Any]:
    """A shipped profile; without what it says of its own model where another is to be used."""
    if study not in get_args(Study):
        raise UsageError(f"unknown study {study!r}: there are {', '.join(get_args(Study))}")
    folder = files("mints") / "profiles"
    folder = folder if study == STUDY else folder / study
    known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in known:
        raise UsageError(
            f"unknown profile {name!r}: the {study} study has {', '.join(known)}; your own file goes to --config"
        )
    own = _parse(Path(name), (folder / f"{name}.toml").read_text(encoding="utf-8"))
    values = {"study": study, "profile": name} | own
    base = values.pop("extends", None)
    values = _merge(_shipped(study, base), values) if base else values
    another = model not in (None, values.get("model"))
    return {name: value for name, value in values.items() if not (another and name in OF_ITS_MODEL)}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MintsError(f"cannot read configuration {path}: {error}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MintsError(f"configuration {path} is not TOML: {error}") from None


PATH_FIELDS = (
    "genome",
    "genomes",
    "blacklist",
    "peaks",
    "corpus",
    "file",
    "audit_queries",
    "audit_corpus",
    "audit_truth",
    "signal",
    "train",
    "validation",
    "test",
    "variants",
    "proteins",
    "sae_dir",
    "scans_dir",
    "scan",
    "reads",
    "levels",
    "results",
    "model",
)


def _relative_to(folder: Path, values: Any, field: str = "") -> Any:
    """Relative paths of a user's file, seen from where the file lies; hub ids and addresses stay as they are."""
    if isinstance(values, dict):
        return {key: _relative_to(folder, value, key) for key, value in values.items()}
    if isinstance(values, list):
        return [_relative_to(folder, value, field) for value in values]
    if not isinstance(values, str) or field not in PATH_FIELDS or "://" in values or RESULTS_PLACEHOLDER in values:
        return values
    if field == "model" and not values.startswith("."):
        return values
    return os.path.normpath(folder / values)


OF_ONE_ANOTHER = {
    "tasks": ("motif_questions",),
    "model": ("model_revision", "model_sha256", "family"),
}
"""Field → fields that mean nothing once it has another value."""


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, section by section; lists are replaced whole.

    Other tasks need other questions, and another model has another revision and other hashes.
    """
    merged = dict(base)
    for replaced, without in OF_ONE_ANOTHER.items():
        if replaced in over:
            merged = {key: value for key, value in merged.items() if key not in without}
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
