"""Is the time left right after a tenth of the work? Of two real measurements, by processor time.

    python benchmarks/forecast.py

runs a reduced quickstart and a reduced dilution in this process, one task after the other, on a
clock of processor seconds (other work on the machine does not count), and prints for each audit how
much was left after a tenth of its work, and how much was said to be: by the work of the cells, and
by counting them.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from privaudit.audit import run_audit
from privaudit.experiment.executors.here import Here
from privaudit.progress import Forecast, Work
from privaudit.scenario.load import load_scenario
from privaudit.studies.dilution import measure_dilution

T = TypeVar("T")
COMMON = ("report.devices=[]", "ledger.enabled=false", "federation.rounds=2", "audit.rounds=24")
RUN = (*COMMON, "runs=5", "audit.fractions=[0.1,1.0]")
DILUTION = (*COMMON, "audit.properties=['bold']", "audit.fractions=[0.1,1.0]")

TOGETHER = 0.05
"""Seconds within which cells arrive that were computed in one go."""


def processor_seconds() -> float:
    """Of this process, and of those of attacks that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Watch:
    """Says of every audit, when it is over, what was forecast."""

    def track(
        self, items: Iterable[T], *, stage: str, total: int, work: Work | None = None
    ) -> Iterator[T]:
        """Yield the items."""
        started, arrived = processor_seconds(), []
        for item in items:
            arrived.append((item, processor_seconds() - started))
            yield item
        if stage == "audit" and work is not None:
            self._say(arrived, work)

    def _say(self, arrived: list[tuple[T, float]], work: Work) -> None:
        forecast, counted = Forecast(work), Forecast(Work(len(arrived), lambda _: 1.0))
        done, took = 0.0, arrived[-1][1]
        for (item, when), (_, then) in pairwise(arrived):
            forecast.arrived(item, when)
            counted.arrived(item, when)
            done += work.of(item)
            if done >= work.total / 10 and then > when + TOGETHER:
                break
        true, said = took - when, forecast.left(when) or 0.0
        print(
            f"{len(arrived)} cells, {took:.0f} s; after {done / work.total:.0%} {true:.0f} s were "
            f"left, {said:.0f} forecast ({said / true:.2f} times), {counted.left(when):.0f} by "
            "counting"
        )


def main() -> None:
    """Both."""
    with tempfile.TemporaryDirectory() as place:
        print("quickstart: ", end="", flush=True)
        made = load_scenario("quickstart", list(RUN))
        run_audit(made, Path(place) / "run", workers=1, executor=Here(), progress=Watch())
        print("dilution, one round and whole runs:", flush=True)
        made = load_scenario("quickstart", list(DILUTION))
        measure_dilution(
            made,
            Path(place) / "dilution",
            participants=(2, 5, 9, 17),
            runs=6,
            whole_runs=12,
            whole_rounds=8,
            workers=1,
            executor=Here(),
            progress=Watch(),
        )


if __name__ == "__main__":
    main()
