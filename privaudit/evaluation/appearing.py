"""When did the property appear? What attacks say of it from their scores, and what was true.

Of scenarios in which it appears on the way in half of the runs (``audit.schedule = "episodes"``).
The change is looked for in scores alone (:mod:`privaudit.statistics.appearing`); the truth only
judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import binomtest

from privaudit.evaluation.records import Record, possible_in
from privaudit.scenario.grid import how_sent
from privaudit.scenario.schema import PROPERTY
from privaudit.statistics.appearing import Appearance, appearance


@dataclass(frozen=True)
class Judged:
    """One run: what an attack's scores say, beside the truth.

    Attributes:
        run: 0-based.
        said: what the scores say.
        start: first round with the property; None where it never appeared.
        end: the round after its last; None likewise.
    """

    run: int
    said: Appearance
    start: int | None = None
    end: int | None = None

    @property
    def error(self) -> int | None:
        """Rounds between the beginning that was found and the true one; None without both."""
        if self.start is None or not self.said.found:
            return None
        return abs(self.said.start - self.start)

    @property
    def delay(self) -> int | None:
        """Rounds with the property up to the alarm, that of the alarm included; None without.

        0 and less where it was raised before the property appeared.
        """
        if self.start is None or self.said.alarm is None:
            return None
        return self.said.alarm - self.start + 1


@dataclass(frozen=True)
class Share:
    """``count`` of ``of`` runs, with the exact (Clopper-Pearson) 95 % interval."""

    count: int
    of: int

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Its limits, in [0, 1]."""
        if not self.of:
            return 0.0, 1.0
        limits = binomtest(self.count, self.of).proportion_ci(0.95)
        return float(limits.low), float(limits.high)


@dataclass(frozen=True)
class Appearing:
    """One attack on one (property, rule, fraction, K, defence), over all runs with scores."""

    property: str
    rule: str
    fraction: float
    participants: int
    attack: str
    runs: tuple[Judged, ...]
    defence: str = ""

    @cached_property
    def sent(self) -> str:
        """The sharing rule, with the defence where there is one."""
        return how_sent(self.rule, self.defence)

    @cached_property
    def appeared(self) -> list[Judged]:
        """Runs in which the property appeared."""
        return [run for run in self.runs if run.start is not None]

    @cached_property
    def never(self) -> list[Judged]:
        """Runs in which it did not."""
        return [run for run in self.runs if run.start is None]

    @cached_property
    def found(self) -> Share:
        """Of the runs in which it appeared, those in which the attack says so."""
        return Share(sum(run.said.found for run in self.appeared), len(self.appeared))

    @cached_property
    def wrongly_found(self) -> Share:
        """Likewise of those in which it did not."""
        return Share(sum(run.said.found for run in self.never), len(self.never))

    @cached_property
    def errors(self) -> list[int]:
        """Of the runs in which it was found, ascending."""
        return sorted(run.error for run in self.runs if run.error is not None)

    @cached_property
    def delays(self) -> list[int]:
        """Of the runs whose alarm was raised with the property there, ascending."""
        return sorted(d for run in self.appeared if (d := run.delay) is not None and d > 0)

    @cached_property
    def too_early(self) -> int:
        """Runs whose alarm was raised before the property appeared."""
        return sum(d <= 0 for run in self.appeared if (d := run.delay) is not None)

    @cached_property
    def false_alarms(self) -> Share:
        """Of the runs in which it never appeared, those with an alarm."""
        return Share(sum(run.said.alarm is not None for run in self.never), len(self.never))


def appearing(records: Sequence[Record]) -> list[Appearing]:
    """Of every cell of a run with episodes, in the order of the records; else none."""
    groups: dict[tuple[str, str, float, int, str, str], list[Judged]] = {}
    for r in records:
        if r.game != PROPERTY or r.status != "ok" or possible_in(r.configuration) is None:
            continue
        key = (r.property, r.rule, r.fraction, r.participants, r.attack, r.defence)
        groups.setdefault(key, []).append(_judged(r))
    return [Appearing(*key[:5], tuple(runs), key[5]) for key, runs in groups.items()]


def _judged(record: Record) -> Judged:
    said = appearance(np.array(record.scores), record.seed)
    there = np.flatnonzero(record.present)
    if not len(there):
        return Judged(record.run, said)
    return Judged(record.run, said, int(there[0]), int(there[-1]) + 1)
