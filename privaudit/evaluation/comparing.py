"""What changed between two audits, cell by cell: pure, the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from privaudit.evaluation.rebuilding import MEASURES, Measure
from privaudit.evaluation.records import Record, with_scores
from privaudit.scenario.grid import how_sent
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.paired import Difference, auc_change, auc_difference, mean_change
from privaudit.statistics.rebuilt import mean_over_runs
from privaudit.statistics.told import adjusted, design_of, is_told

Key = tuple[str, str, str, float, int, str, str]
"""Game, property, sharing rule, fraction, participants, attack, defence."""


@dataclass(frozen=True)
class Compared:
    """One attack on one question in both audits.

    Attributes:
        before: AUC in the first, or how much of the batches was rebuilt.
        after: in the second.
        difference: by how much the second is above the first; None where runs are too few.
        q_value: of "there is none", adjusted over all cells compared.
        paired: whether both attacked the same rounds of the same federations.
        same: whether even the scores are the same.
        defences: of the first and of the second; empty for none.
        measure: what was counted in rebuilt batches; None for an AUC.
    """

    game: str
    property: str
    attack: str
    rule: str
    fraction: float
    participants: int
    defences: tuple[str, str]
    before: Interval
    after: Interval
    difference: Difference | None
    paired: bool
    same: bool
    measure: Measure | None = None
    q_value: float | None = None

    @cached_property
    def sent(self) -> str:
        """The sharing rule, with the defence where both have the same."""
        return how_sent(self.rule, self.defences[0] if len(set(self.defences)) == 1 else "")

    @cached_property
    def more(self) -> bool:
        """Whether the second audit is told to leak more than the first."""
        return self._told and self.difference is not None and self.difference.value > 0

    @cached_property
    def less(self) -> bool:
        """Whether it is told to leak less."""
        return self._told and self.difference is not None and self.difference.value < 0

    @cached_property
    def _told(self) -> bool:
        return is_told(self.q_value)


def compared(first: Sequence[Record], second: Sequence[Record]) -> list[Compared]:
    """The cells that both have, in the order of the first; tests adjusted over all of them.

    A defence is what audits are compared for: where each has a single one, cells are matched
    whatever it is called.
    """
    single = all(len({record.defence for record in of}) == 1 for of in (first, second))
    groups = [_groups(of, with_defence=not single) for of in (first, second)]
    cells = [
        cell
        for key, before in groups[0].items()
        if (after := groups[1].get(key)) and (cell := _cell(before, after))
    ]
    q_values = adjusted([cell.difference.p_value if cell.difference else None for cell in cells])
    return [replace(cell, q_value=q) for cell, q in zip(cells, q_values, strict=True)]


def _groups(records: Sequence[Record], *, with_defence: bool) -> dict[Key, list[Record]]:
    found: dict[Key, list[Record]] = {}
    for r in records:
        defence = r.defence if with_defence else ""
        key = (r.game, r.property, r.rule, r.fraction, r.participants, r.attack, defence)
        found.setdefault(key, []).append(r)
    return found


def _cell(first: Sequence[Record], second: Sequence[Record]) -> Compared | None:
    """None where one of them has no scores."""
    if first[0].is_rebuilding:
        return _rebuilt_cell(first, second)
    before, after = with_scores(first), with_scores(second)
    if not before or not after:
        return None
    paired = _paired(before, after)
    runs = [[record.run_scores() for record in good] for good in (before, after)]
    return Compared(
        **_of(before[0], after[0]),
        before=_interval(before),
        after=_interval(after),
        difference=auc_difference([list(zip(runs[1], runs[0], strict=True))])
        if paired
        else auc_change(runs[0], runs[1]),
        paired=paired,
        same=[record.scores for record in before] == [record.scores for record in after],
    )


def _rebuilt_cell(first: Sequence[Record], second: Sequence[Record]) -> Compared | None:
    """None where one of them has no answers, or something else was counted."""
    runs = [[(r, r.rebuilt) for r in of if r.rebuilt is not None] for of in (first, second)]
    if len({rebuilt.measure for of in runs for _, rebuilt in of}) != 1 or not all(runs):
        return None
    measure = MEASURES[runs[0][0][1].measure]
    found = [[rebuilt.found for _, rebuilt in of] for of in runs]
    # A guess knows nothing of the trace: the same ones are of the same batches and own records.
    known = [[(r.seed, r.run, rebuilt.guess) for r, rebuilt in of] for of in runs]
    paired = known[0] == known[1]
    before, after = (mean_over_runs(of, top=measure.top, counted=measure.counted) for of in found)
    return Compared(
        **_of(runs[0][0][0], runs[1][0][0]),
        before=before,
        after=after,
        difference=mean_change(*found, paired=paired, top=measure.top, counted=measure.counted),
        paired=paired,
        same=[rebuilt for _, rebuilt in runs[0]] == [rebuilt for _, rebuilt in runs[1]],
        measure=measure,
    )


def _of(first: Record, second: Record) -> dict[str, Any]:
    """What a cell is about."""
    return {
        "game": first.game,
        "property": first.property,
        "attack": first.attack,
        "rule": first.rule,
        "fraction": first.fraction,
        "participants": first.participants,
        "defences": (first.defence, second.defence),
    }


def _paired(first: Sequence[Record], second: Sequence[Record]) -> bool:
    """Whether the runs are of the same federations, asked the same about the same rounds."""
    return len(first) == len(second) and all(
        (a.seed, a.run, a.pair, a.present) == (b.seed, b.run, b.pair, b.present)
        for a, b in zip(first, second, strict=True)
    )


def _interval(good: Sequence[Record]) -> Interval:
    """As it stands in the report of the audit."""
    runs = [record.run_scores() for record in good]
    held = [record.held() for record in good]
    return auc_interval(runs, **design_of(runs, held).pools)


def least_excluded(cells: Sequence[Compared]) -> float | None:
    """The largest difference, either way, that some cell that told none does not exclude."""
    open_ = [c.difference for c in cells if c.difference and not (c.more or c.less)]
    return max((float(np.max(np.abs([d.low, d.high]))) for d in open_), default=None)
