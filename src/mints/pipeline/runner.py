"""The pipeline: plans, runs and reports on the steps of a study in one results folder."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mints.errors import MintsError
from mints.pipeline import environment
from mints.pipeline.artifacts import remove_stale_temporaries
from mints.pipeline.fingerprint import Fingerprint
from mints.pipeline.graph import StepGraph
from mints.pipeline.lock import is_locked, locked
from mints.pipeline.manifest import RunSummary, StepManifest, StepRecord, now, read_manifest, read_run
from mints.pipeline.planner import Decision, Order, Planner, orders
from mints.pipeline.progress import Reporter, duration
from mints.pipeline.run import Run
from mints.pipeline.step import Step

if TYPE_CHECKING:
    from pydantic import BaseModel

WORK = ".work"
"""Folder for the shards of unfinished maps, below the results folder."""


State = Literal["complete", "outdated", "missing", "failed", "running"]


@dataclass(frozen=True)
class StepStatus:
    """How a step stands."""

    step: Step
    state: State
    reason: str
    finished: str | None
    """When its outputs were made, in local time; None where it never succeeded."""

    seconds: float | None
    """How long that took."""

    output_bytes: int | None
    """Size of its outputs together."""


class Pipeline:
    """The steps that take part under a configuration, and the results folder in which they work."""

    steps: tuple[Step, ...]
    """In the order in which they run, with templates written out."""

    def __init__(
        self,
        steps: Sequence[Step],
        config: BaseModel,
        root: Path,
        *,
        expand: Mapping[str, Sequence[str]] | None = None,
        version: str = "",
        reporter: Reporter | None = None,
    ) -> None:
        """Link the steps; nothing is read or written yet.

        config: needs the fields `profile` and `seed` besides those that the steps read. root: results folder.
        expand: values of the placeholders in artifact names. version: release of the software, for the manifest.
        Raises StepContractError where the declarations of the steps do not fit together.
        """
        self._config = config
        self._root = root
        self._version = version
        self._reporter = reporter or Reporter()
        self._graph = StepGraph(steps, config, root, expand or {})
        self.steps = self._graph.steps

    def resolve(self, name: str) -> Step:
        """The step of a name or alias. Raises UsageError naming the steps that there are, and a close one."""
        return self._graph.resolve(name)

    def plan(
        self, from_step: str | None = None, only_step: str | None = None, overwrite: bool = False
    ) -> list[Decision]:
        """What `run` would do; a step after one that runs may still turn out to be complete. Raises as `run` does."""
        given, started_at = orders(self._graph, from_step, only_step, overwrite)
        self._check_profile()
        planner = Planner(self._graph, self._config, self._root)
        planner.check_supply(started_at)
        return planner.decisions(given)

    def status(self) -> list[StepStatus]:
        """How every step stands, in their order."""
        decisions = self.plan()
        last = {record["name"]: record for record in read_run(self._root).get("steps", [])}
        at_work = is_locked(self._root)
        return [self._status(decision, last.get(decision.step.name, {}), at_work) for decision in decisions]

    def run(
        self,
        from_step: str | None = None,
        only_step: str | None = None,
        overwrite: bool = False,
        sources: Sequence[Mapping[str, Any]] = (),
    ) -> RunSummary:
        """Run what is not complete, or what the arguments force.

        from_step: this step and all later ones are forced, earlier ones are not run. only_step: this step alone.
        overwrite: every step. sources: where files came from, for the account. Raises MintsError where an input is
        missing or changed, the folder belongs to another profile or run, or the disk is full; whatever a step raises
        ends the run and is recorded.
        """
        given, started_at = orders(self._graph, from_step, only_step, overwrite)
        self._check_profile()
        with locked(self._root) as takeover:
            remove_stale_temporaries(self._root)
            planner = Planner(self._graph, self._config, self._root)
            planner.check_supply(started_at)
            summary = self._new_summary(sources)
            for warning in [*([takeover] if takeover else []), *planner.outdated_upstream(started_at)]:
                summary.warnings.append(warning)
                self._reporter.warn(warning)
            try:
                self._run_all(summary, planner, given, overwrite)
            finally:
                with suppress(OSError, MintsError):  # only a help for later runs
                    planner.hasher.keep()
        return summary

    def _run_all(self, summary: RunSummary, planner: Planner, given: Mapping[str, Order], overwrite: bool) -> None:
        """Run or skip every step, keeping `pipeline_run.json` up to date."""
        started = time.monotonic()
        summary.write(self._root)
        try:
            for place, (step, record) in enumerate(zip(self.steps, summary.steps, strict=True), start=1):
                decision = planner.decide(step, given[step.name])
                record.reason = decision.reason
                position = f"[{place}/{len(self.steps)}] {step.name}"
                if decision.runs:
                    record.status, record.started = "running", now()
                    summary.write(self._root)
                    self._run_step(step, record, planner, position, fresh=overwrite)
                else:
                    self._skip_step(step, record, position)
                summary.seconds = time.monotonic() - started
                summary.write(self._root)
            summary.status = "complete"
            summary.write(self._root)
        except BaseException as error:
            summary.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            summary.seconds = time.monotonic() - started
            with suppress(OSError, MintsError):  # the disk may be full: what ended the run is what has to be told
                summary.write(self._root)
            raise

    def _skip_step(self, step: Step, record: StepRecord, position: str) -> None:
        record.status = "skipped"
        if manifest := read_manifest(self._root, step.name):
            record.take_from(manifest)
        self._reporter.message(f"{position}: skipped, {record.reason}")

    def _run_step(self, step: Step, record: StepRecord, planner: Planner, position: str, *, fresh: bool) -> None:
        """Run one step, put its outputs in place and write its manifest; record how it went, also when it raises.

        fresh: do not go on from the shards of a run that was killed.
        """
        self._reporter.message(f"{position} ({record.reason})")
        fingerprint = planner.fingerprint(step)
        work = self._root / WORK / f"{step.name}-{fingerprint.digest()[:16]}"
        self._clear_work(step, keep=None if fresh else work)
        run = Run(step, self._config, self._root, self._reporter, work)
        environment.forget_peak_memory()
        started = time.monotonic()
        try:
            step.function(run)
            run.put_in_place()
            _take_account(record, run, started)
            self._write_manifest(step, record, fingerprint, planner)
            record.status = "ran"
        except BaseException as error:
            run.discard()
            _take_account(record, run, started)
            record.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            record.error = str(error) if isinstance(error, MintsError) else f"{type(error).__name__}: {error}"
            self._reporter.message(f"{position}: {record.status} after {duration(record.seconds)}")
            raise
        self._clear_work(step, keep=None)
        self._reporter.message(f"{position}: done in {duration(record.seconds)}")

    def _write_manifest(self, step: Step, record: StepRecord, fingerprint: Fingerprint, planner: Planner) -> None:
        paths = {name: self._root / name for name in step.makes}
        outputs: dict[str, dict[str, Any]] = {
            name: {"sha256": planner.hasher.file(path), "bytes": path.stat().st_size} for name, path in paths.items()
        }
        manifest = StepManifest(
            step=step.name,
            fingerprint=fingerprint.digest(),
            configuration=dict(fingerprint.configuration),
            inputs=dict(fingerprint.inputs),
            code=fingerprint.code,
            outputs=outputs,
            started=record.started or now(),
            finished=now(),
            seconds=record.seconds,
            peak_memory_bytes=record.peak_memory_bytes,
            bytes_written=sum(output["bytes"] for output in outputs.values()),
            warnings=record.warnings,
            facts=record.facts,
            versions=environment.versions(self._version),
        )
        manifest.write(self._root)
        record.take_from(manifest)
        record.bytes_written = manifest.bytes_written

    def _clear_work(self, step: Step, *, keep: Path | None) -> None:
        """Remove the shards of a step, except those in `keep`."""
        for folder in (self._root / WORK).glob(f"{step.name}-*"):
            if folder != keep:
                shutil.rmtree(folder)
        with suppress(OSError):  # other steps may still have shards there
            (self._root / WORK).rmdir()

    def _new_summary(self, sources: Sequence[Mapping[str, Any]]) -> RunSummary:
        return RunSummary(
            profile=self._profile(),
            version=self._version,
            command=shlex.join(sys.argv),
            configuration=self._config.model_dump(mode="json"),
            versions=environment.versions(self._version),
            host=environment.host(),
            git_commit=environment.git_commit(),
            sources=[dict(source) for source in sources],
            steps=[StepRecord(step.name) for step in self.steps],
        )

    def _profile(self) -> str:
        return str(getattr(self._config, "profile", ""))

    def _check_profile(self) -> None:
        found = read_run(self._root).get("profile", self._profile())
        if found != self._profile():
            raise MintsError(
                f"{self._root} holds results of profile '{found}', not '{self._profile()}': "
                "choose another folder with --results"
            )

    def _status(self, decision: Decision, last: Mapping[str, Any], at_work: bool) -> StepStatus:
        state, reason = self._state(decision, last, at_work)
        manifest = read_manifest(self._root, decision.step.name)
        return StepStatus(
            step=decision.step,
            state=state,
            reason=reason,
            finished=manifest.finished if manifest else None,
            seconds=manifest.seconds if manifest else None,
            output_bytes=sum(output["bytes"] for output in manifest.outputs.values()) if manifest else None,
        )

    def _state(self, decision: Decision, last: Mapping[str, Any], at_work: bool) -> tuple[State, str]:
        """State and reason. last: the step's record in the latest run, if it had one."""
        if last.get("status") == "running" and at_work:
            return "running", f"since {last.get('started')}"
        if not decision.runs:
            return "complete", ""
        if last.get("status") == "running":
            return "failed", "its last run was killed"
        if last.get("status") in {"failed", "interrupted"}:
            return "failed", "its last run was interrupted" if last["status"] == "interrupted" else str(
                last.get("error")
            )
        has_outputs = all((self._root / name).is_file() for name in decision.step.makes)
        made = read_manifest(self._root, decision.step.name) is not None
        return ("outdated" if has_outputs and made else "missing"), decision.reason


def _take_account(record: StepRecord, run: Run, started: float) -> None:
    record.seconds = time.monotonic() - started
    record.peak_memory_bytes = environment.peak_memory_bytes()
    run.close_accounts()
    record.warnings, record.facts = run.warnings, run.facts
