"""How far a stage is: who computes says it, who asked for it shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """How much work the items of a stage are, where they are not all alike.

    Attributes:
        total: of all items, in any unit, above 0.
        of: an item's share of it.
        fresh: whether an item was computed now; what an interrupted run had done takes no time.
        under_way: of how many items' worth the others have done, whoever has just finished one.
    """

    total: float
    of: Callable[[Any], float]
    fresh: Callable[[Any], bool] = lambda _: True
    under_way: float = 0.0


class Forecast:
    """Time left, from how long the work that is done took.

    Items arrive when they are done, in bursts and late: between arrivals the clock runs on, and
    what is under way elsewhere counts, as items of middling size.

    Args:
        work: of the stage.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._open = work.total
        self._done = 0.0
        self._items = 0
        self._heard = 0.0

    def arrived(self, item: Any, elapsed: float) -> None:
        """An item is done, so many seconds after the stage began."""
        size = self._work.of(item)
        self._open -= size
        if self._work.fresh(item):
            self._done += size
            self._items += 1
            self._heard = elapsed

    def left(self, elapsed: float) -> float | None:
        """Seconds from now on, at least 0; None before anything was computed."""
        if not self._done or not self._heard:
            return None
        under_way = min(self._open, self._work.under_way * self._done / self._items)
        pace = self._heard / (self._done + under_way)
        return max(0.0, (self._open - under_way) * pace - (elapsed - self._heard))


class Progress(Protocol):
    """Shows how far a stage is; the command line passes bars, a library user nothing."""

    def track(
        self, items: Iterable[T], *, stage: str, total: int, work: Work | None = None
    ) -> Iterator[T]:
        """Yield the items, counting them.

        Args:
            items: as they come.
            stage: its name.
            total: how many there will be.
            work: how much each is; None = all alike, one at a time.
        """


class Silent:
    """No progress shown."""

    def track(
        self, items: Iterable[T], *, stage: str, total: int, work: Work | None = None
    ) -> Iterator[T]:
        """Yield the items."""
        yield from items
