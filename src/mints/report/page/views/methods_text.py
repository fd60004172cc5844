"""What the sentences of the methods are made with: a step that ran, and a template that never guesses a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from mints.pipeline.manifest import StepManifest
from mints.report.page.saved import Saved


class Ran(NamedTuple):
    """A step that ran: what it read and recorded, beside everything that the run has saved."""

    manifest: StepManifest
    saved: Saved

    def read(self, field: str) -> Any:
        """What the step read of the configuration, by its dotted name; None where it read no such field."""
        configuration = self.manifest.configuration
        if field in configuration:
            return configuration[field]
        section, _, name = field.rpartition(".")
        inside = configuration.get(section)
        return inside.get(name) if isinstance(inside, Mapping) else None

    def fact(self, name: str) -> Any:
        """What the step recorded under this name; None where it recorded nothing."""
        return self.manifest.facts.get(name)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run; empty where there is none."""
        return self.saved.table(name)


class Described(NamedTuple):
    """How the methods tell of a step."""

    title: str
    sentences: Callable[[Ran], Sequence[str]]
    defined_in: tuple[str, ...]
    """Sections of docs/methods.md that define what the step computes."""

    items: Callable[[Ran], Sequence[str]] = lambda ran: ()
    """What is listed below the sentences: one line per task, motif or protein."""


def said(template: str, **values: Any) -> str:
    """The template with its values; empty where one of them is not recorded.

    A value may be text, a number, or a list of either.
    """
    if any(value is None or (isinstance(value, list | tuple) and not value) for value in values.values()):
        return ""
    return template.format(**{name: written(value) for name, value in values.items()})


def sentence(first: str, *more: str) -> str:
    """One sentence of parts; empty where the first says nothing."""
    return f"{first}{''.join(more)}." if first else ""


def written(value: Any) -> str:
    """A value as a sentence has it: thousands apart, lists with `and`."""
    if isinstance(value, list | tuple):
        parts = [written(part) for part in value]
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def percent(share: float | None) -> str | None:
    """A share as a percentage; None where there is none."""
    return None if share is None else f"{100 * share:g}%"


def file_name(location: Any) -> str | None:
    """Name of a file without its folder and its hash; None where no file is named, or by its content alone."""
    text = str(location).split("#")[0]
    if location is None or text.startswith("sha256:"):
        return None
    return text.removeprefix("artifact ").replace("\\", "/").rstrip("/").split("/")[-1]


def sanity(ran: Ran) -> str:
    """What had to be exactly 0 on every pair, and how far from it the largest was; empty where nothing was recorded."""
    recorded = ran.fact("sanity") or {}
    groups = [group if isinstance(group, Mapping) else {name: group} for name, group in recorded.items()]
    checks = list(dict.fromkeys(name for group in groups for name in group))
    largest = max((float(value) for group in groups for value in group.values()), default=0.0)
    verdict = "each was 0" if largest == 0 else f"the largest was {largest:g}, where 0 is right"
    return said("Checked on every pair: {checks}; {verdict}.", checks=checks, verdict=verdict)


def sites(names: Sequence[str] | None) -> str | None:
    """Sites of the model as a list; None where there is none."""
    return written(list(names)) if names else None


def plural(count: int, one: str, several: str = "") -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def distinct(table: pd.DataFrame, column: str) -> list[Any]:
    """Values of a column, each once, as plain Python values; none where the table lacks the column."""
    return table[column].drop_duplicates().tolist() if column in table else []
