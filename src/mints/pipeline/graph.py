"""The steps of one study under one configuration: expanded, checked, and linked by their artifacts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from mints.errors import UsageError
from mints.pipeline.fingerprint import paths_in
from mints.pipeline.step import Step, StepContractError, expand


class StepGraph:
    """The participating steps in their order, each with concrete artifact names and all its inputs in `needs`."""

    steps: tuple[Step, ...]
    makers: dict[str, Step]
    """Artifact → the step that makes it."""

    artifact_of: dict[Path, str]
    """Absolute path → artifact; how a configured path to an artifact is recognised."""

    places_of: dict[str, frozenset[Path]]
    """Artifact → its absolute path and all folders above it, to which a configured path may point."""

    def __init__(self, steps: Sequence[Step], config: Any, root: Path, values: Mapping[str, Sequence[str]]) -> None:
        """Link the steps whose `when(config)` holds.

        root: results folder. values: for the templates. Raises StepContractError where two steps share a name or an
        output, a step needs what no earlier one makes, or reads a field that the configuration lacks.
        """
        self._all_steps = tuple(steps)
        self._check_names()
        taking_part = [expand(declared, values) for declared in steps if declared.when(config)]
        self.makers = {}
        for declared in taking_part:
            for artifact in declared.makes:
                if artifact in self.makers:
                    raise StepContractError(f"{artifact} is made by {self.makers[artifact].name} and {declared.name}")
                self.makers[artifact] = declared
        self.artifact_of = {(root / artifact).resolve(): artifact for artifact in self.makers}
        self.places_of = {artifact: frozenset((path, *path.parents)) for path, artifact in self.artifact_of.items()}
        self.steps = tuple(self._with_all_inputs(declared, config) for declared in taking_part)
        self.makers = {artifact: declared for declared in self.steps for artifact in declared.makes}
        self._check_order()

    def resolve(self, name: str) -> Step:
        """The step of a name or alias, dashes allowed. Raises UsageError naming the steps that there are."""
        wanted = name.replace("-", "_")
        for declared in self.steps:
            if wanted == declared.name or wanted in declared.aliases:
                return declared
        if any(wanted == declared.name or wanted in declared.aliases for declared in self._all_steps):
            raise UsageError(f"step '{name}' takes no part under this configuration")
        known = [declared.name for declared in self.steps]
        aliases = [alias for declared in self.steps for alias in declared.aliases]
        close = difflib.get_close_matches(wanted, known + aliases, n=1)
        meant = f" (did you mean '{close[0]}'?)" if close else ""
        raise UsageError(f"unknown step '{name}'{meant}: the steps are {', '.join(known)}")

    def upstream(self, names: Iterable[str]) -> set[str]:
        """Names of all steps on whose artifacts the named ones depend, directly or through others."""
        reached: set[str] = set()
        wanted = set(names)
        for declared in reversed(self.steps):
            if declared.name in wanted or declared.name in reached:
                reached |= {self.makers[artifact].name for artifact in declared.needs}
        return reached - wanted

    def _check_names(self) -> None:
        seen: set[str] = set()
        for declared in self._all_steps:
            for name in (declared.name, *declared.aliases):
                if name in seen:
                    raise StepContractError(f"two steps are called '{name}'")
                seen.add(name)

    def _with_all_inputs(self, declared: Step, config: Any) -> Step:
        """Add to `needs` the optional inputs that are made, and the artifacts to which the configuration points."""
        optional = [artifact for artifact in declared.may_need if artifact in self.makers]
        configured = {path.resolve() for value in field_values(declared, config).values() for path in paths_in(value)}
        pointed_to = [artifact for artifact, places in self.places_of.items() if not places.isdisjoint(configured)]
        inputs = dict.fromkeys([*declared.needs, *optional, *pointed_to])
        return replace(declared, needs=tuple(artifact for artifact in inputs if artifact not in declared.makes))

    def _check_order(self) -> None:
        made: set[str] = set()
        for declared in self.steps:
            early = [artifact for artifact in declared.needs if artifact not in made]
            if early:
                raise StepContractError(f"step '{declared.name}' needs {early[0]}, which no earlier step makes")
            made.update(declared.makes)


def field_values(declared: Step, config: Any) -> dict[str, Any]:
    """The configuration fields on which a step depends, under their dotted names."""
    try:
        return {field: reduce(getattr, field.split("."), config) for field in declared.reads}
    except AttributeError as error:
        raise StepContractError(f"step '{declared.name}' reads a field that there is not: {error}") from error
