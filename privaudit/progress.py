"""How far a stage is: who computes says it, who asked for it shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Shows how far a stage is; the command line passes bars, a library user nothing."""

    def track(self, items: Iterable[T], *, stage: str, total: int) -> Iterator[T]:
        """Yield the items, counting them."""


class Silent:
    """No progress shown."""

    def track(self, items: Iterable[T], *, stage: str, total: int) -> Iterator[T]:
        """Yield the items."""
        yield from items
