"""How work below the steps shows its progress: a function that hands items on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Track(Protocol):
    """Hands the items on, showing progress while they are taken."""

    def __call__(
        self, iterable: Iterable[Item], *, total: int | None = None, description: str | None = None, unit: str = "items"
    ) -> Iterable[Item]: ...


def untracked(
    iterable: Iterable[Item], *, total: int | None = None, description: str | None = None, unit: str = "items"
) -> Iterable[Item]:
    """Progress that nobody watches."""
    return iterable
