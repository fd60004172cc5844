"""What is recorded: one manifest per finished step, and one account of the latest run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from mints.pipeline.artifacts import read_json, to_json, write_json, written_atomically
from mints.pipeline.fingerprint import Fingerprint

SCHEMA = 1
RUN_MANIFEST = "pipeline_run.json"

Outcome = Literal["pending", "running", "ran", "skipped", "failed", "interrupted"]


def now() -> str:
    """Local time with its zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True)
class StepManifest:
    """The record of a step's last success: `manifests/<step>.json`."""

    step: str
    fingerprint: str
    configuration: dict[str, Any]
    inputs: dict[str, str]
    code: str
    outputs: dict[str, dict[str, Any]]
    """Artifact → its `sha256` and `bytes`."""
    started: str
    finished: str
    seconds: float
    peak_memory_bytes: int | None
    bytes_written: int
    warnings: list[str]
    facts: dict[str, Any]
    versions: dict[str, str]
    status: str = "complete"
    schema: int = SCHEMA

    def parts(self) -> Fingerprint:
        """What the result was made from."""
        return Fingerprint(self.configuration, self.inputs, self.code)

    def write(self, root: Path) -> None:
        """Write below a results folder."""
        with written_atomically(_manifest_path(root, self.step)) as temporary:
            write_json(temporary, asdict(self))


def read_manifest(root: Path, step_name: str) -> StepManifest | None:
    """The manifest of a step's last success; None where there is none that can be read."""
    try:
        record = read_json(_manifest_path(root, step_name))
        manifest = StepManifest(**record)
    except (OSError, ValueError, TypeError):
        return None
    return manifest if manifest.schema == SCHEMA and manifest.status == "complete" else None


def _manifest_path(root: Path, step_name: str) -> Path:
    return root / "manifests" / f"{step_name}.json"


@dataclass
class StepRecord:
    """What happened to one step in the latest run."""

    name: str
    status: Outcome = "pending"
    reason: str = ""
    started: str | None = None
    seconds: float = 0.0
    peak_memory_bytes: int | None = None
    bytes_written: int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: str | None = None
    """When the outputs were made: in this run, or in the earlier one whose result was kept."""
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def take_from(self, manifest: StepManifest) -> None:
        """Copy what the outputs are and were made from."""
        self.inputs = manifest.inputs
        self.outputs = manifest.outputs
        self.made = manifest.finished
        self.warnings = manifest.warnings
        self.facts = manifest.facts


@dataclass
class RunSummary:
    """The account of a run, kept up to date in `pipeline_run.json` while it works."""

    profile: str
    version: str
    command: str
    configuration: dict[str, Any]
    versions: dict[str, str]
    host: dict[str, Any]
    git_commit: str | None
    sources: list[dict[str, Any]]
    """Files that came from elsewhere: location, path here, bytes and checked hash."""
    steps: list[StepRecord]
    started: str = field(default_factory=now)
    status: Literal["running", "complete", "failed", "interrupted"] = "running"
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    """Warnings about the run as a whole; those of a step stand with the step."""
    schema: int = SCHEMA

    def as_json(self) -> dict[str, Any]:
        """Plain values, with the facts and warnings of all steps gathered at the end."""
        record: dict[str, Any] = to_json(asdict(self))
        record["facts"] = {step.name: to_json(step.facts) for step in self.steps if step.facts}
        record["warnings"] = [
            *self.warnings,
            *(f"{step.name}: {text}" for step in self.steps for text in step.warnings),
        ]
        return record

    def write(self, root: Path) -> None:
        """Write below a results folder."""
        with written_atomically(root / RUN_MANIFEST) as temporary:
            write_json(temporary, self.as_json())


def read_run(root: Path) -> dict[str, Any]:
    """The account of the latest run as plain values; empty where there is none that can be read."""
    with suppress(OSError, ValueError):
        record = read_json(root / RUN_MANIFEST)
        return record if isinstance(record, dict) else {}
    return {}
