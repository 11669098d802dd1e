"""Variants against one another: each in a fresh process of its own, in turn, medians of repeats."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Timing:
    """Medians over repeats: units and 1e9 FLOP per second (0: not counted), wall and processor.

    ``low`` and ``high`` are the slowest and fastest repeat's units per processor second.
    """

    per_wall: float
    per_cpu: float
    low: float
    high: float
    gflop: float


class Worker:
    """A warm process that works when it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> None:
        """Wait until it is warm."""
        self._answer()

    def start(self) -> None:
        """Begin one piece of work."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, float]:
        """Wait for it; seconds, units and FLOP."""
        return self._answer()

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"benchmarks/speed: '{self.name}' failed; its error is above")
        found: dict[str, float] = json.loads(line)
        return found


@contextlib.contextmanager
def working(names: Sequence[str]) -> Iterator[list[Worker]]:
    """Warm workers, one per name."""
    workers = []
    try:
        for name in names:
            workers.append(Worker(name))
        for worker in workers:
            worker.ready()
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def in_turn(names: Sequence[str], repeats: int) -> dict[str, Timing]:
    """Each variant once per repeat, one after the other, alone on its core."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with working(names) as workers:
        for _ in range(repeats):
            for worker in workers:
                worker.start()
                seen[worker.name].append(worker.finish())
    return {name: _timing(rows) for name, rows in seen.items()}


def side_by_side(name: str, processes: int, repeats: int) -> list[tuple[float, float]]:
    """Of each repeat of several processes of one variant at once: units per wall second of all
    together, and per processor second.
    """
    rates = []
    with working([name] * processes) as workers:
        for _ in range(repeats):
            for worker in workers:
                worker.start()
            rows = [worker.finish() for worker in workers]
            units = sum(row["units"] for row in rows)
            wall, processor = max(r["wall"] for r in rows), sum(r["cpu"] for r in rows)
            rates.append((units / wall, units / processor))
    return rates


def _timing(rows: Sequence[dict[str, float]]) -> Timing:
    rates = [row["units"] / row["cpu"] for row in rows]
    return Timing(
        median(row["units"] / row["wall"] for row in rows),
        median(rates),
        min(rates),
        max(rates),
        median(row["flop"] / row["cpu"] for row in rows) / 1e9,
    )
