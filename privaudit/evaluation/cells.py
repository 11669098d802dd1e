"""From records to the cells of the inference-accuracy table: pure, the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from privaudit.evaluation.judge import METRICS, measure
from privaudit.evaluation.records import Record
from privaudit.randomness import Seed
from privaudit.statistics.intervals import Interval
from privaudit.statistics.multiplicity import adjusted_p_values
from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.power import detectable_auc
from privaudit.statistics.runs import RunScores

SIGNIFICANT, CHANCE = 0.05, 0.5


@dataclass(frozen=True)
class TableCell:
    """One attack on one (property, rule, fraction, K), over all runs.

    Attributes:
        runs: federation runs with scores.
        failures: reasons of the runs without.
        metrics: name -> interval over runs; None where not estimable.
        p_value: permutation test against chance, one-sided.
        q_value: the same, adjusted over the cells of the table (Benjamini-Hochberg).
        detectable: smallest AUC this cell would have told from 0.5 (80 % power, one-sided 5 %).
        published: the published AUC, where the scenario reproduces one.
    """

    property: str
    rule: str
    fraction: float
    participants: int
    attack: str
    view: str
    runs: int
    rounds: int
    failures: tuple[str, ...]
    metrics: dict[str, Interval | None]
    p_value: float | None
    q_value: float | None
    detectable: float | None
    published: float | None

    @cached_property
    def auc(self) -> Interval | None:
        """The cell's AUC; None when every run failed."""
        return self.metrics.get("auc")

    @cached_property
    def told(self) -> bool:
        """Whether the attack told the property from chance: what a star says.

        Above chance at a false discovery rate of 5 % over the table, *and* with an interval above
        0.5. The permutation test takes rounds to be exchangeable; a target with few records is a
        little off chance in the same direction in all rounds of a run, which only the interval,
        over runs, takes into account (docs/statistics.md).
        """
        if self.auc is None or self.q_value is None:
            return False
        return self.q_value < SIGNIFICANT and self.auc.low > CHANCE


Key = tuple[str, str, float, int, str]


def table_cells(records: Sequence[Record]) -> list[TableCell]:
    """All cells of a run, in the order of the records, tests adjusted over the whole table."""
    groups: dict[Key, list[Record]] = {}
    for record in records:
        key = (
            record.property,
            record.rule,
            record.fraction,
            record.participants,
            record.attack,
        )
        groups.setdefault(key, []).append(record)
    cells = [_cell(key, group) for key, group in groups.items()]
    adjusted = adjusted_p_values([cell.p_value for cell in cells])
    return [replace(cell, q_value=q) for cell, q in zip(cells, adjusted, strict=True)]


def _cell(key: Key, records: Sequence[Record]) -> TableCell:
    name, rule, fraction, participants, attack = key
    # Sums and random permutations go through the runs in turn: in their own order, whatever order
    # the records came in.
    records = sorted(records, key=lambda record: record.run)
    good = [record for record in records if record.status == "ok"]
    runs = [RunScores(np.array(r.scores), np.array(r.present)) for r in good]
    first = records[0]
    published = first.configuration["report"]["published"].get(name, {})
    rng = Seed(first.seed).generator("permutation", *(str(part) for part in key))
    return TableCell(
        property=name,
        rule=rule,
        fraction=fraction,
        participants=participants,
        attack=attack,
        view=first.view,
        runs=len(good),
        rounds=sum(len(r.scores) for r in good),
        failures=tuple(r.reason for r in records if r.status == "failed"),
        metrics={m: measure(runs, m) if runs else None for m in METRICS},
        p_value=permutation_p_value(runs, rng) if runs else None,
        q_value=None,
        detectable=detectable_auc(runs) if runs else None,
        published=next((v for f, v in published.items() if float(f) == fraction), None),
    )
