"""One file over HTTP: resumed where it was cut, retried where the server stumbles, kept only with the right hash."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import FileLock

from mints.errors import MintsError
from mints.locations import Digest

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 6
"""Connections in a row that may end without a single new byte before the address counts as out of reach."""

PATIENCE = 0.5
"""Seconds before the second attempt; doubled before every other."""

TIMEOUT = 10
"""Seconds without an answer after which a connection counts as cut."""


MEGABYTE = 1 << 20

Track = Callable[[Iterable[int], int | None], Iterable[int]]
"""Wraps the megabytes of a download, of which the total is known or not, to show progress."""


class UnreachableError(MintsError):
    """The address did not answer, or not with the file."""

    def __init__(self, address: str, reason: str) -> None:
        """Keep the reason, for messages that name the file by another name."""
        super().__init__(f"cannot reach {address} ({reason})")
        self.reason = reason


class _CutError(Exception):
    """The connection ended early, or the server asked to come again: worth another attempt."""


class _RefusedError(_CutError):
    """No connection came about."""


def download(
    address: str,
    target: Path,
    digest: Digest,
    *,
    track: Track = lambda megabytes, total: megabytes,
    patience: float = PATIENCE,
    timeout: float = TIMEOUT,
) -> Path:
    """The file at `address`, as `target`; at once where it is there with the right hash.

    Bytes are collected in `target.partial`, from which a later call goes on, and become `target` only with the right
    hash. Two processes that want one file wait for each other. Raises UnreachableError where the address does not
    answer or has no such file, and MintsError for wrong bytes and where the file cannot be kept.
    """
    import httpx

    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if target.is_file() and digest.matches(target):
                return target
            resumed = size_of(partial) > 0
            with httpx.Client(follow_redirects=True, timeout=timeout) as client:
                _collect(client, address, partial, patience, track)
                if resumed and not digest.matches(partial):
                    # What was left of an earlier attempt may be of other bytes: once more from the start.
                    partial.unlink()
                    _collect(client, address, partial, patience, track)
            if not digest.matches(partial):
                partial.unlink()
                raise MintsError(f"{address} does not have the {digest}: it was changed, or damaged on the way")
            partial.replace(target)
    except OSError as error:
        raise MintsError(f"cannot keep {address} in {target.parent}: {error.strerror or error}") from None
    return target


def _collect(client: httpx.Client, address: str, partial: Path, patience: float, track: Track) -> None:
    """Bring the partial file to the size that the server names; an attempt that brought bytes costs nothing."""
    failures, at_first = 0, size_of(partial)
    while True:
        before = size_of(partial)
        try:
            return _receive(client, address, partial, before, track)
        except _CutError as cut:
            failures = 1 if size_of(partial) > before else failures + 1
            nobody_there = isinstance(cut, _RefusedError) and size_of(partial) <= at_first
            if nobody_there or failures == ATTEMPTS:
                raise UnreachableError(address, str(cut)) from None
            time.sleep(patience * 2 ** (failures - 1))


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def _receive(client: httpx.Client, address: str, partial: Path, begun: int, track: Track) -> None:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
    with _answer(client, address, headers) as response:
        if response.status_code == 416:  # nothing is left to send, or the file has become shorter: the hash will tell
            return
        going_on = response.status_code == 206 and begun > 0
        size = response.headers.get("Content-Length", "")
        total = int(size) // MEGABYTE if size.isdecimal() else None
        with partial.open("ab" if going_on else "wb") as stream:
            for _ in track(_write(response, stream), total):
                pass


def _write(response: httpx.Response, stream: BinaryIO) -> Iterator[int]:
    """Write what arrives, at once; yields the number of each megabyte that is complete."""
    written = 0
    for chunk in response.iter_raw():
        stream.write(chunk)
        before, written = written, written + len(chunk)
        yield from range(before // MEGABYTE, written // MEGABYTE)


@contextmanager
def _answer(client: httpx.Client, address: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """The server's answer, where it is one; all that may pass is a cut."""
    import httpx

    try:
        with client.stream("GET", address, headers=headers) as response:
            said = f"{response.status_code} {response.reason_phrase}"
            if response.status_code in (408, 425, 429) or response.status_code >= 500:
                raise _CutError(said)
            if response.is_error and response.status_code != 416:
                raise UnreachableError(address, said)
            yield response
    except httpx.ConnectError:
        raise _RefusedError("no connection") from None
    except httpx.TimeoutException:
        raise _CutError(f"no answer within {TIMEOUT} seconds") from None
    except httpx.TransportError as error:
        raise _CutError(str(error).strip() or type(error).__name__) from None
    except httpx.InvalidURL as error:
        raise UnreachableError(address, str(error)) from None
