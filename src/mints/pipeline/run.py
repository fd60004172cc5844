"""What a step function gets: its configuration, its artifacts, its random numbers and its voice. Nothing undeclared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from mints.errors import MintsError
from mints.pipeline import artifacts, engine
from mints.pipeline.step import Step, StepContractError

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.random import Generator

    from mints.pipeline.progress import Reporter

Item = TypeVar("Item")


class DeclaredConfiguration:
    """The configuration as one step may see it: the fields that it declares, and no other.

    Without this, a field that a step reads but does not declare would change results without remaking them.
    """

    def __init__(self, step_name: str, config: Any, declared: Sequence[str], prefix: str = "") -> None:
        self._step_name = step_name
        self._config = config
        self._declared = declared
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self._prefix}{name}"
        value = getattr(self._config, name)
        if path in self._declared:
            return value
        if any(field.startswith(f"{path}.") for field in self._declared):
            return DeclaredConfiguration(self._step_name, value, self._declared, f"{path}.")
        raise StepContractError(f"step '{self._step_name}' reads config.{path} without declaring it in reads=")


class Run:
    """One execution of one step.

    Outputs are written aside and take their names together, after the step function has returned: a step that fails
    half-way leaves its earlier outputs as they were.
    """

    config: Any
    """The configuration fields that the step declares."""

    warnings: list[str]
    """Texts given to `warn`, in order."""

    facts: dict[str, Any]
    """Values given to `fact`."""

    def __init__(self, step: Step, config: Any, root: Path, reporter: Reporter, work: Path) -> None:
        """Prepare one execution.

        step: with its templates expanded. root: results folder. work: folder for the shards of `map`.
        """
        self.config = DeclaredConfiguration(step.name, config, (*step.reads, *step.without_effect))
        self.warnings = []
        self.facts = {}
        self._accounts: dict[str, Callable[[], Any]] = {}
        self._step = step
        self._root = root
        self._reporter = reporter
        self._work = work
        self._written: set[str] = set()
        self._labels: set[str] = set()

    @property
    def results(self) -> Path:
        """The results folder, for a step that shows whatever is there, as the report does."""
        return self._root

    def has(self, name: str) -> bool:
        """Whether an input takes part in this run; for those that the step declares as `may_need`."""
        return name in self._step.needs

    def path(self, name: str) -> Path:
        """Where an existing artifact lies: an input, or an output that this run has already written."""
        if name in self._written:
            return artifacts.temporary_name(self._root / name)
        if name not in self._step.needs:
            raise StepContractError(f"step '{self._step.name}' asks for {name}, which it neither needs nor has made")
        path = self._root / name
        if not path.exists():
            raise MintsError(f"step '{self._step.name}' needs {name}, which is missing below {self._root}")
        return path

    def load(self, name: str) -> Any:
        """Value of an artifact: table (.csv, .parquet), plain value (.json) or dict of arrays (.npz, .safetensors)."""
        return artifacts.read(self.path(name), PurePosixPath(name).suffix)

    @contextmanager
    def create(self, name: str) -> Iterator[Path]:
        """Path to write a declared output to, in any format; it counts once the body has ended without error."""
        if name not in self._step.makes:
            raise StepContractError(f"step '{self._step.name}' writes {name} without declaring it in makes=")
        self._written.discard(name)
        with artifacts.written_aside(self._root / name) as temporary:
            yield temporary
        self._written.add(name)

    def save(self, name: str, value: Any) -> None:
        """Write a declared output in the format of its suffix (.csv .json .npz .safetensors .parquet .png)."""
        with self.create(name) as temporary:
            artifacts.write(temporary, value, PurePosixPath(name).suffix)

    def figure(self, name: str, figure: Any) -> None:
        """Write a matplotlib figure as `figures/<name>.png` and close it."""
        self.save(f"figures/{name}.png", figure)

    def save_rows(
        self,
        name: str,
        arrays: Mapping[str, ndarray],
        streamed: str,
        shape: Sequence[int],
        blocks: Iterable[ndarray],
        dtype: str = "float32",
    ) -> None:
        """Write a declared NPZ whose array `streamed` arrives in blocks of rows, one in memory at a time.

        arrays: the small arrays beside it. shape: of the whole array. Raises StepContractError where the blocks do not
        add up to it.
        """
        with self.create(name) as temporary:
            artifacts.write_npz_rows(temporary, arrays, streamed, shape, blocks, dtype)

    def scratch(self, name: str) -> Path:
        """Path of a file of the step's own that outlives a kill, until the step has completed."""
        self._work.mkdir(parents=True, exist_ok=True)
        return self._work / name

    def rng(self, label: str, step: str | None = None) -> Generator:
        """Random numbers of one purpose: the same for the same seed, step and label, in every process.

        step: another step, whose numbers are drawn again.
        """
        from numpy.random import SeedSequence, default_rng

        # A digest, because Python's hash() of a string differs between processes.
        digest = hashlib.sha256(f"{self.config.seed}\n{step or self._step.name}\n{label}".encode()).digest()
        return default_rng(SeedSequence(int.from_bytes(digest, "big")))

    def track(
        self,
        iterable: Iterable[Item],
        total: int | None = None,
        description: str | None = None,
        unit: str = "items",
    ) -> Iterator[Item]:
        """The same items, with progress shown while they are taken."""
        return self._reporter.track(iterable, total=total, description=description or self._step.name, unit=unit)

    def message(self, text: str) -> None:
        """Say one line on the screen or in the log."""
        self._reporter.message(f"    {text}")

    def warn(self, text: str) -> None:
        """Say something that the reader of the results should know; kept in the manifest."""
        self.warnings.append(text)
        self._reporter.warn(f"{self._step.name}: {text}")

    def account(self, name: str, facts: Callable[[], Any]) -> None:
        """Record a value that is settled only when the step ends, such as a count of what it did."""
        self._accounts[name] = facts

    def close_accounts(self) -> None:
        """Turn every account into a fact."""
        for name, facts in self._accounts.items():
            self.fact(name, facts())

    def fact(self, key: str, value: Any) -> None:
        """Record a plain fact about this run (a count, a device) in the manifest."""
        self.facts[key] = artifacts.to_json(value)

    def map(
        self, function: Callable[[Item], Mapping[str, ndarray]], shards: Sequence[Item], *, label: str = "shards"
    ) -> Iterator[dict[str, ndarray]]:
        """Apply a function to every shard, in order; a run that is killed goes on at the shard where it stopped.

        label: names this map within the step; each label may be used once. See `mints.pipeline.engine.map`.
        """
        if label in self._labels:
            raise StepContractError(f"step '{self._step.name}' maps over {label!r} twice: give each map its own label")
        self._labels.add(label)
        track = partial(self.track, total=len(shards), description=f"{self._step.name} ({label})", unit="shards")
        return engine.map(function, shards, checkpoint=self._work / label, track=track)

    def put_in_place(self) -> None:
        """Give every output its name. Raises StepContractError where a declared output was not written."""
        missing = [name for name in self._step.makes if name not in self._written]
        if missing:
            raise StepContractError(f"step '{self._step.name}' ended without making {', '.join(missing)}")
        for name in self._step.makes:
            artifacts.put_in_place(self._root / name)

    def discard(self) -> None:
        """Remove what was written aside and never put in place."""
        for name in self._step.makes:
            artifacts.temporary_name(self._root / name).unlink(missing_ok=True)
