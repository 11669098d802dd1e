"""What is shown on stderr while a command works. ``NO_COLOR`` is respected (rich does)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

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


class Bars:
    """Progress bars on stderr; nothing where stderr is not a terminal, or when ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def track(self, items: Iterable[T], *, stage: str, total: int) -> Iterator[T]:
        """Yield the items, counting them on a bar with their rate and the time left."""
        if self.quiet or not errors.is_terminal:
            yield from items
            return
        columns = (
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=errors, transient=True) as bar:
            yield from bar.track(items, description=stage, total=total)
