"""What a run has saved, as the page reads it: whatever is there, old or partial, and what would make the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from numpy import ndarray

from mints.pipeline.artifacts import read


class Saved:
    """Artifacts of one results folder."""

    def __init__(
        self, find: Callable[[str], Path | None], account: Mapping[str, Any], makers: Mapping[str, str], command: str
    ) -> None:
        """find: path of an artifact, None where there is none. account: `pipeline_run.json`.

        makers: step that makes an artifact, by its name. command: how this run is called, without a choice of steps.
        """
        self.find, self.account, self.makers, self.command = find, account, makers, command
        self.looked_for: dict[str, bool] = {}

    def has(self, *names: str) -> bool:
        """Whether all of these are there."""
        found = [self._path(name) is not None for name in names]
        return all(found)

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
        steps = list(dict.fromkeys(self.makers[name] for name in missing if name in self.makers))
        listed = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        if not steps:
            return f"{listed} is not among this run's results, and none of its steps makes it"
        return f"{listed} is missing; this makes it: {self.command} --from-step {steps[0]}"

    def _path(self, name: str) -> Path | None:
        path = self.find(name)
        self.looked_for[name] = path is not None
        return path
