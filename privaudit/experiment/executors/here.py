"""Tasks in this process, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from privaudit.experiment.executors.protocol import Executor, Item, Result, Then, Vanished, nothing


class Here(Executor):
    """For programs and notebooks that hold no keys, and whose model only they know."""

    def each(
        self,
        task: Callable[[Any, Item], Result],
        job: Any,
        items: Iterable[Item],
        *,
        workers: int = 1,
        then: Then[Item, Result] = nothing,
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """As :meth:`.protocol.Executor.each`; errors are raised as they are."""
        waiting = deque(items)
        while waiting:
            item = waiting.popleft()
            result = task(job, item)
            waiting.extend(then(item, result))
            yield item, result
