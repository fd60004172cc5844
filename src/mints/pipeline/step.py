"""A step: a function with declared inputs, outputs and configuration fields. What it needs is data, not code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from string import Formatter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mints.pipeline.run import Run


class StepContractError(Exception):
    """A step did what it did not declare, or declared what it did not do: a fault of the step, not of its user."""


@dataclass(frozen=True)
class Step:
    """One named piece of a study."""

    name: str
    """Name on the command line and in the manifests: lower-case letters, digits, underscores."""

    function: Callable[[Run], None]
    """The work itself."""

    needs: tuple[str, ...] = ()
    """Artifacts of earlier steps, as paths below the results folder."""

    may_need: tuple[str, ...] = ()
    """Artifacts that are inputs only where the step that makes them takes part; ask `run.has(name)`."""

    makes: tuple[str, ...] = ()
    """Artifacts that every successful run of the step leaves behind."""

    reads: tuple[str, ...] = ()
    """Configuration fields (dotted names allowed) on which the result depends."""

    opens: tuple[str, ...] = ()
    """Fields among `reads` whose files the step opens itself: what has to be on this machine before it runs."""

    without_effect: tuple[str, ...] = ()
    """Configuration fields that the step may look at although they cannot change its result (a batch size)."""

    aliases: tuple[str, ...] = ()
    """Other names under which the command line knows the step."""

    when: Callable[[Any], bool] = lambda config: True
    """Whether the step takes part, given the configuration."""

    summary: str = ""
    """First line of the function's docstring."""


def step(
    name: str,
    *,
    needs: Sequence[str] = (),
    may_need: Sequence[str] = (),
    makes: Sequence[str] = (),
    reads: Sequence[str] = (),
    opens: Sequence[str] = (),
    without_effect: Sequence[str] = (),
    aliases: Sequence[str] = (),
    when: Callable[[Any], bool] = lambda config: True,
) -> Callable[[Callable[[Run], None]], Step]:
    """Turn a function of a Run into a Step; the arguments are the fields of `Step`.

    Artifact names may hold `{placeholders}`, which the Pipeline expands. Raises StepContractError for a name that is
    not lower-case letters, digits and underscores, for an artifact outside the results folder, and for a field that is
    opened and not read.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise StepContractError(f"step name {name!r} is not made of lower-case letters, digits and underscores")
    for artifact in (*needs, *may_need, *makes):
        _check_name(name, artifact)
    if unread := sorted(set(opens) - set(reads)):
        raise StepContractError(f"step '{name}' opens {', '.join(unread)} without declaring it in reads=")

    def declare(function: Callable[[Run], None]) -> Step:
        docstring = (function.__doc__ or "").strip()
        return Step(
            name=name,
            function=function,
            needs=tuple(needs),
            may_need=tuple(may_need),
            makes=tuple(makes),
            reads=tuple(reads),
            opens=tuple(opens),
            without_effect=tuple(without_effect),
            aliases=tuple(aliases),
            when=when,
            summary=docstring.split("\n")[0],
        )

    return declare


def _check_name(step_name: str, artifact: str) -> None:
    parts = artifact.split("/")
    if any(part in {"", ".", ".."} or part.startswith(".") for part in parts) or "\\" in artifact or ":" in artifact:
        raise StepContractError(
            f"step '{step_name}' declares {artifact!r}, which is not a plain path below the results"
        )


def expand(declared: Step, values: Mapping[str, Sequence[str]]) -> Step:
    """The step with every template of `needs`, `may_need` and `makes` written out, in the order of the values."""
    return replace(
        declared,
        needs=_expand_all(declared.name, declared.needs, values),
        may_need=_expand_all(declared.name, declared.may_need, values),
        makes=_expand_all(declared.name, declared.makes, values),
    )


def _expand_all(step_name: str, templates: Sequence[str], values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(artifact for template in templates for artifact in _expand_one(step_name, template, values))


def _expand_one(step_name: str, template: str, values: Mapping[str, Sequence[str]]) -> list[str]:
    """`"{task}/{layer}.npz"` over every combination of tasks and layers; a template without placeholder is itself."""
    placeholders = list(dict.fromkeys(field for _, field, _, _ in Formatter().parse(template) if field is not None))
    unknown = [placeholder for placeholder in placeholders if placeholder not in values]
    if unknown:
        raise StepContractError(
            f"step '{step_name}' declares {template!r}, but there are values only for {', '.join(values) or 'nothing'}"
        )
    combinations = product(*(values[placeholder] for placeholder in placeholders))
    return [template.format(**dict(zip(placeholders, chosen, strict=True))) for chosen in combinations]
