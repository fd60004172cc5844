"""What a run has saved, as the page reads it: whatever is there, old or partial, and what would make the rest."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from numpy import ndarray

from mints.pipeline.artifacts import read
from mints.pipeline.manifest import StepManifest, read_manifest, read_run
from mints.report.page.needed import lacking

ORDERS = re.compile(r"\s--(?:(?:from-step|only-step)[= ]\S+|overwrite|report-only|open-report|quiet)\b")
"""Flags that choose among the steps."""


class Saved:
    """Artifacts of one results folder.

    An artifact that is not there, or that an older version made without what the page needs of it, is as good as none:
    it reads as empty, and `advice` says which of both it is.
    """

    def __init__(self, results: Path, makers: Mapping[str, str]) -> None:
        """makers: step by the pattern of the artifacts that it makes."""
        self.results, self.makers = results, makers
        self.account: Mapping[str, Any] = read_run(results)
        self._wanting: dict[str, Sequence[str]] = {}
        self._told: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether it is there, if only empty; not of what was read and found to lack something."""
        return self._path(name) is not None and name not in self._wanting

    def matching(self, pattern: str) -> list[str]:
        """Artifacts whose names match a pattern such as `circuits/*_graph.json`, in alphabetical order."""
        found = (path.relative_to(self.results).as_posix() for path in self.results.glob(pattern) if path.is_file())
        return sorted(found)

    def table(self, name: str, *needed: str) -> pd.DataFrame:
        """A CSV or parquet table; empty, without columns, where there is none.

        needed: columns without which it is of no use here, beside those that every chapter needs.
        """
        path = self._path(name)
        rows = pd.DataFrame() if path is None else read(path, path.suffix)
        return pd.DataFrame() if self._fault(name, rows if len(rows) else None, needed) else rows

    def value(self, name: str) -> Any:
        """Content of a JSON artifact; None where there is none."""
        path = self._path(name)
        content = None if path is None else read(path, path.suffix)
        return None if self._fault(name, content) else content

    def arrays(self, name: str) -> dict[str, Shaped[ndarray, "..."]]:
        """Arrays of an NPZ or safetensors artifact; none where there is none."""
        path = self._path(name)
        found = {} if path is None else {key: np.asarray(value) for key, value in read(path, path.suffix).items()}
        return {} if self._fault(name, found) else found

    def configured(self, field: str, default: Any = None) -> Any:
        """A field of the configuration, by its dotted name; the default where an older run does not have it."""
        value: Any = self.account.get("configuration", {})
        for part in field.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value

    def advice(self, *names: str) -> str:
        """What is wrong with these, and the command that makes them."""
        self._told.update(names)
        wrong = [name for name in names if name in self._wanting or self._path(name) is None] or list(names)
        listed = ", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else "")
        columns = sorted({column for name in wrong for column in self._wanting.get(name, ())})
        made_by = [step for name in wrong if (step := self.maker(name))]
        if all(self._path(name) is not None for name in wrong) and not columns:
            return f"{listed} holds nothing: its step had nothing to list"
        if not made_by:
            return f"{listed} is not among this run's results, and no step of this study makes it"
        fault = f"was made by an older version, without {', '.join(columns)}" if columns else "is missing"
        return f"{listed} {fault}. This makes it: {self.command()} --from-step {made_by[0]}"

    def untold(self) -> list[str]:
        """Advice on what was asked for in vain and not told of yet, step by step; nothing of what no step makes."""
        wanting = [name for name in self._wanting if name not in self._told]
        steps = dict.fromkeys(filter(None, map(self.maker, wanting)))
        return [self.advice(*(name for name in wanting if self.maker(name) == step)) for step in steps]

    def maker(self, name: str) -> str | None:
        """The step of this study that makes an artifact."""
        return next((step for pattern, step in self.makers.items() if fnmatchcase(name, pattern)), None)

    def command(self) -> str:
        """How this run was called, without what it was told to do of its steps."""
        return f"python {ORDERS.sub('', self.account.get('command', 'main.py'))}"

    def steps(self) -> list[StepManifest]:
        """Manifests of all steps whose results are here, whichever run made them, in the order in which steps ran."""
        names = [path.stem for path in sorted((self.results / "manifests").glob("*.json"))]
        found = [manifest for name in names if (manifest := read_manifest(self.results, name)) is not None]
        place = {step.get("name"): number for number, step in enumerate(self.account.get("steps", []))}
        return sorted(found, key=lambda manifest: (place.get(manifest.step, len(place)), manifest.started))

    def step_seconds(self) -> float:
        """Time that all steps took whose results are here, whichever run made them."""
        return float(sum(manifest.seconds for manifest in self.steps()))

    def _path(self, name: str) -> Path | None:
        path = self.results / name
        return path if path.is_file() else None

    def _fault(self, name: str, content: Any, needed: Collection[str] = ()) -> bool:
        """Whether an artifact is of no use; what it lacks is kept for the advice, unless it is only empty."""
        absent = self._path(name) is None
        without = [] if absent or content is None else lacking(name, content, needed)
        if absent or without:
            self._wanting[name] = without
        return content is None or bool(without)
