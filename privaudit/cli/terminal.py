"""What is shown on stderr while a command works. ``NO_COLOR`` is respected (rich does)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from privaudit.progress import Forecast, Work

T = TypeVar("T")

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Rate(ProgressColumn):
    """``2.4/s``, or ``3.1 s each`` where that is easier to read."""

    def render(self, task: Task) -> Text:
        """The rate so far; nothing before the first item."""
        if not task.completed or not task.elapsed:
            return Text("")
        speed = task.completed / task.elapsed
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


class TimeLeft(ProgressColumn):
    """``0:04:10``, by how much work is done and not by how many items."""

    def render(self, task: Task) -> Text:
        """What the stage's forecast says now; a dash before there is one."""
        left = task.fields["forecast"].left(task.elapsed or 0.0)
        return Text("-:--:--" if left is None else str(timedelta(seconds=round(left))))


class Bars:
    """Progress bars on stderr; nothing where stderr is not a terminal, or when ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def track(
        self, items: Iterable[T], *, stage: str, total: int, work: Work | None = None
    ) -> Iterator[T]:
        """Yield the items, counting them on a bar with their rate and the time left."""
        if self.quiet or not errors.is_terminal:
            yield from items
            return
        columns = (
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeLeft(),
            TextColumn("left"),
        )
        forecast = Forecast(work or Work(total, lambda _: 1.0))
        with Progress(*columns, console=errors, transient=True) as bar:
            task = bar.add_task(stage, total=total, forecast=forecast)
            for item in items:
                forecast.arrived(item, bar.tasks[0].elapsed or 0.0)
                bar.advance(task)
                yield item
