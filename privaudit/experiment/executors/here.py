"""Tasks in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from privaudit.experiment.executors.protocol import Executor, Item, Result, Vanished


class Here(Executor):
    """For programs and notebooks that hold no keys, and whose model only they know."""

    def each(
        self,
        task: Callable[[Any, Item], Result],
        job: Any,
        items: Iterable[Item],
        *,
        workers: int = 1,
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """As :meth:`.protocol.Executor.each`; errors are raised as they are."""
        for item in items:
            yield item, task(job, item)
