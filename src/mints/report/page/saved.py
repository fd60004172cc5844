"""What a run has saved, as the page reads it: whatever is there, old or partial, and what would make the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from numpy import ndarray

from mints.pipeline.artifacts import read
from mints.pipeline.manifest import read_run

ORDERS = re.compile(r"\s--(?:(?:from-step|only-step)[= ]\S+|overwrite|report-only|open-report|quiet)\b")
"""Flags that choose among the steps."""


class Saved:
    """Artifacts of one results folder."""

    def __init__(self, results: Path, makers: Mapping[str, str]) -> None:
        """makers: step by the pattern of the artifacts that it makes."""
        self.results, self.makers = results, makers
        self.account: Mapping[str, Any] = read_run(results)

    def has(self, *names: str) -> bool:
        """Whether all of these are there."""
        return all(self._path(name) is not None for name in names)

    def matching(self, pattern: str) -> list[str]:
        """Artifacts whose names match a pattern such as `circuits/*_graph.json`, in alphabetical order."""
        found = (path.relative_to(self.results).as_posix() for path in self.results.glob(pattern) if path.is_file())
        return sorted(found)

    def table(self, name: str) -> pd.DataFrame:
        """A CSV or parquet table; empty, without columns, where there is none."""
        path = self._path(name)
        return pd.DataFrame() if path is None else read(path, path.suffix)

    def value(self, name: str) -> Any:
        """Content of a JSON artifact; None where there is none."""
        path = self._path(name)
        return None if path is None else read(path, path.suffix)

    def arrays(self, name: str) -> dict[str, Shaped[ndarray, "..."]]:
        """Arrays of an NPZ or safetensors artifact; none where there is none."""
        path = self._path(name)
        return {} if path is None else {key: np.asarray(value) for key, value in read(path, path.suffix).items()}

    def configured(self, field: str, default: Any = None) -> Any:
        """A field of the configuration, by its dotted name; the default where an older run does not have it."""
        value: Any = self.account.get("configuration", {})
        for part in field.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value

    def advice(self, *names: str) -> str:
        """What is missing of these, and the command that makes it."""
        missing = [name for name in names if self._path(name) is None]
        made_by = [step for name in missing for pattern, step in self.makers.items() if fnmatchcase(name, pattern)]
        listed = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        if not made_by:
            return f"{listed} is not among this run's results, and no step of this study makes it"
        return f"{listed} is missing. This makes it: {self.command()} --from-step {made_by[0]}"

    def command(self) -> str:
        """How this run was called, without what it was told to do of its steps."""
        return f"python {ORDERS.sub('', self.account.get('command', 'main.py'))}"

    def step_seconds(self) -> float:
        """Time that all steps took whose results are here, whichever run made them."""
        manifests = sorted((self.results / "manifests").glob("*.json"))
        return float(sum(read(path, path.suffix).get("seconds", 0) for path in manifests))

    def _path(self, name: str) -> Path | None:
        path = self.results / name
        return path if path.is_file() else None
