"""Which steps run, and why: decided from fingerprints, manifests and what lies on disk, without changing anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mints.errors import MintsError, UsageError
from mints.pipeline.code_version import code_version
from mints.pipeline.fingerprint import MISSING, Fingerprint, Hasher, plain_value
from mints.pipeline.graph import StepGraph, field_values
from mints.pipeline.manifest import read_manifest
from mints.pipeline.step import Step


@dataclass(frozen=True)
class Decision:
    """Whether a step runs."""

    step: Step
    runs: bool
    reason: str


class Condition(NamedTuple):
    """How a step's outputs stand to what they would be made from now."""

    state: Literal["complete", "outdated", "missing"]
    reason: str


class Order(NamedTuple):
    """What the command line says about a step."""

    kind: Literal["force", "ask", "leave"]
    """Run it; run it if it is not complete; do not touch it."""

    reason: str = ""


COMPLETE = Condition("complete", "complete")


def orders(
    graph: StepGraph, from_step: str | None, only_step: str | None, overwrite: bool
) -> tuple[dict[str, Order], list[Step]]:
    """An order per step name, and the steps that run although earlier ones are not asked.

    Raises UsageError for an unknown step, or where both a first and a single step are given.
    """
    if from_step is not None and only_step is not None:
        raise UsageError("give either a step to start from or a single step, not both")
    if only_step is not None:
        chosen = graph.resolve(only_step)
        left = Order("leave", f"only {chosen.name} is asked for")
        forced = Order("force", "forced: only this step is asked for")
        return {each.name: forced if each == chosen else left for each in graph.steps}, [chosen]
    if from_step is not None:
        first = graph.steps.index(graph.resolve(from_step))
        left = Order("leave", f"before --from-step {graph.steps[first].name}")
        forced = Order("force", "forced by --from-step")
        kinds = {each.name: left if place < first else forced for place, each in enumerate(graph.steps)}
        return kinds, list(graph.steps[first:])
    asked = Order("force", "forced by --overwrite") if overwrite else Order("ask")
    return {each.name: asked for each in graph.steps}, []


class Planner:
    """Looks at one results folder at one time; make a new one to look again."""

    def __init__(self, graph: StepGraph, config: Any, root: Path) -> None:
        self.hasher = Hasher(root)
        self._graph = graph
        self._config = config
        self._root = root

    def fingerprint(self, step: Step, without: Collection[str] = ()) -> Fingerprint:
        """What the step's result would be made from now. without: inputs to leave out."""
        artifact_of = self._graph.artifact_of
        return Fingerprint(
            configuration={
                field: plain_value(value, self.hasher, artifact_of)
                for field, value in field_values(step, self._config).items()
            },
            inputs={name: self._digest(name) for name in step.needs if name not in without},
            code=code_version(step.function),
        )

    def condition(self, step: Step, remade: Collection[str] = ()) -> Condition:
        """How the step's outputs stand. remade: steps that run before it, whose artifacts are not known yet."""
        manifest = read_manifest(self._root, step.name)
        if manifest is None:
            return Condition("missing", "never run")
        for name in step.makes:
            if not (self._root / name).is_file():
                return Condition("missing", f"output {name} is missing")
        unknown = [name for name in step.needs if self._graph.makers[name].name in remade]
        earlier = manifest.parts()
        known_inputs = {name: digest for name, digest in earlier.inputs.items() if name not in unknown}
        now = self.fingerprint(step, without=unknown)
        difference = now.difference(Fingerprint(earlier.configuration, known_inputs, earlier.code))
        if difference is not None:
            return Condition("outdated", difference)
        for name in step.makes:
            if manifest.outputs.get(name, {}).get("sha256") != self._digest(name):
                return Condition("outdated", f"output {name} was changed on disk")
        if unknown:
            return Condition("outdated", f"step '{self._graph.makers[unknown[0]].name}' runs before it")
        return COMPLETE

    def decide(self, step: Step, order: Order, remade: Collection[str] = ()) -> Decision:
        """Whether a step runs under an order."""
        if order.kind == "force":
            return Decision(step, True, order.reason)
        if order.kind == "leave":
            return Decision(step, False, order.reason)
        condition = self.condition(step, remade)
        return Decision(step, condition.state != "complete", condition.reason)

    def decisions(self, given: Mapping[str, Order]) -> list[Decision]:
        """Decisions for all steps before any of them runs."""
        decided: list[Decision] = []
        remade: set[str] = set()
        for step in self._graph.steps:
            decision = self.decide(step, given[step.name], remade)
            decided.append(decision)
            if decision.runs:
                remade.add(step.name)
        return decided

    def check_supply(self, running: list[Step]) -> None:
        """Raise MintsError where a step that runs needs an artifact of one that does not, and it is not there or not
        the one that was recorded.
        """
        names = {step.name for step in running}
        for step in running:
            for artifact in step.needs:
                maker = self._graph.makers[artifact]
                if maker.name not in names:
                    self._check_artifact(step, artifact, maker)

    def _check_artifact(self, step: Step, artifact: str, maker: Step) -> None:
        digest = self._digest(artifact)
        manifest = read_manifest(self._root, maker.name)
        recorded = manifest.outputs.get(artifact, {}).get("sha256") if manifest else None
        if digest == MISSING:
            problem = "is missing"
        elif recorded is None:
            problem = "no recorded run made"
        elif recorded != digest:
            problem = f"was changed since '{maker.name}' made it"
        else:
            return
        raise MintsError(f"step '{step.name}' needs {artifact}, which {problem}: run with --from-step {maker.name}")

    def outdated_upstream(self, running: list[Step]) -> list[str]:
        """A warning for each step that is not run, feeds one that is, and would be remade in a full run."""
        feeding = self._graph.upstream(step.name for step in running)
        conditions = {step.name: self.condition(step) for step in self._graph.steps if step.name in feeding}
        return [
            f"step '{name}' is out of date ({condition.reason}) and is not remade; --from-step {name} remakes it"
            for name, condition in conditions.items()
            if condition.state != "complete"
        ]

    def _digest(self, artifact: str) -> str:
        path = self._root / artifact
        return self.hasher.file(path) if path.is_file() else MISSING
