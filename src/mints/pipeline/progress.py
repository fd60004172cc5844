"""What a run says while it works, on standard error: bars on a terminal, few plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

LINE_EVERY_SECONDS = 10.0
"""In a log, progress within a step is told at most this often."""


class Reporter:
    """The voice of a run."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to speak.

        quiet: only warnings. stream: default standard error. terminal: whether bars may be drawn; default what the
        stream says of itself. clock: seconds.
        """
        self._quiet = quiet
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty() if terminal is None else terminal
        self._clock = clock
        self._bars: Progress | None = None

    def message(self, text: str) -> None:
        """Say one line."""
        if not self._quiet:
            self._say(text)

    def warn(self, text: str) -> None:
        """Say a warning, also when quiet."""
        self._say(f"warning: {text}")

    def track(
        self, iterable: Iterable[Item], *, total: int | None = None, description: str, unit: str = "items"
    ) -> Iterator[Item]:
        """The same items, with progress shown while they are taken. total: default the iterable's length, if any."""
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        if self._quiet:
            yield from iterable
        elif self._terminal:
            yield from self._track_with_bar(iterable, total, description, unit)
        else:
            yield from self._track_with_lines(iterable, total, description, unit)

    def _track_with_lines(
        self, iterable: Iterable[Item], total: int | None, description: str, unit: str
    ) -> Iterator[Item]:
        started = told = self._clock()
        for done, item in enumerate(iterable, start=1):
            yield item
            now = self._clock()
            if now - told >= LINE_EVERY_SECONDS:
                told = now
                self._say(f"    {description}: {progress_text(done, total, unit, now - started)}")

    def _track_with_bar(
        self, iterable: Iterable[Item], total: int | None, description: str, unit: str
    ) -> Iterator[Item]:
        started = self._clock()
        with self._drawing() as bars:
            task = bars.add_task(description, total=total, text="")
            try:
                for done, item in enumerate(iterable, start=1):
                    yield item
                    text = progress_text(done, total, unit, self._clock() - started)
                    bars.update(task, completed=done, text=text)
            finally:
                bars.remove_task(task)

    @contextmanager
    def _drawing(self) -> Iterator[Progress]:
        """The one group of live bars; the outermost track opens and closes it."""
        if self._bars is not None:
            yield self._bars
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("    {task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
        console = Console(file=self._stream, force_terminal=True)
        with Progress(*columns, console=console, transient=True) as self._bars:
            try:
                yield self._bars
            finally:
                self._bars = None

    def _say(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        self._stream.write(text + "\n")
        self._stream.flush()


def progress_text(done: int, total: int | None, unit: str, seconds: float) -> str:
    """`120/400 sequences, 35.2/s, 8 s remaining`; without a total, what can be known."""
    count = f"{done}/{total} {unit}" if total is not None else f"{done} {unit}"
    if seconds <= 0:
        return count
    rate = done / seconds
    remaining = f", {duration((total - done) / rate)} remaining" if total is not None else ""
    return f"{count}, {rate:.3g}/s{remaining}"


def duration(seconds: float) -> str:
    """Time as people say it: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
