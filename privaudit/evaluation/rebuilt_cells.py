"""From records of the game reconstruction to the cells of its table: pure, the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from privaudit.evaluation.rebuilding import MEASURES, Measure, Rebuilt
from privaudit.evaluation.records import Record, colluders_in
from privaudit.randomness import Seed
from privaudit.scenario.grid import how_sent
from privaudit.statistics.intervals import Interval
from privaudit.statistics.rebuilt import gain_over_runs, mean_over_runs, of_other_rounds_p
from privaudit.statistics.told import adjusted, is_told


@dataclass(frozen=True)
class RebuiltCell:
    """One attack on batches of one size, under one (rule, fraction, K), over all runs.

    Attributes:
        property: what is asked about, ``batch-B``.
        batch: records of the target's in a round: batch size times local steps.
        runs: federation runs with answers.
        rounds: attacked rounds of all of them.
        failures: reasons of the runs without.
        measure: what is counted; None where every run failed, like all that follows.
        found: how much of the batch stands in the answer.
        guess: how much of it a guess holds.
        gain: by how much the first is more.
        answered: mean number of records, or words, in an answer.
        beside: name -> other numbers.
        p_value: of "answers say nothing about which batch it was".
        q_value: the same, adjusted over the cells of the table.
        colluders: of the participants.
    """

    property: str
    rule: str
    fraction: float
    participants: int
    attack: str
    view: str
    batch: int
    runs: int
    rounds: int
    failures: tuple[str, ...]
    measure: Measure | None
    found: Interval | None
    guess: Interval | None
    gain: Interval | None
    beside: dict[str, Interval]
    p_value: float | None
    q_value: float | None
    colluders: int = 0
    defence: str = ""
    answered: float = 0.0

    @cached_property
    def sent(self) -> str:
        """The sharing rule, with the defence where there is one."""
        return how_sent(self.rule, self.defence)

    @cached_property
    def told(self) -> bool:
        """Whether answers are about the batch they are for, and hold more of it than a guess."""
        return is_told(self.q_value) and self.gain is not None and self.gain.low > 0

    @cached_property
    def honest(self) -> int:
        """Honest clients: all but the adversary and who colludes with it."""
        return self.participants - 1 - self.colluders


Key = tuple[str, str, float, int, str, str]


def rebuilt_cells(records: Sequence[Record]) -> list[RebuiltCell]:
    """All cells of that game, in the order of the records, tests adjusted over all of them."""
    groups: dict[Key, list[Record]] = {}
    for r in (r for r in records if r.is_rebuilding):
        key = (r.property, r.rule, r.fraction, r.participants, r.attack, r.defence)
        groups.setdefault(key, []).append(r)
    cells = [_cell(key, group) for key, group in groups.items()]
    q_values = adjusted([cell.p_value for cell in cells])
    return [replace(cell, q_value=q) for cell, q in zip(cells, q_values, strict=True)]


def _cell(key: Key, records: Sequence[Record]) -> RebuiltCell:
    name, rule, fraction, participants, attack, defence = key
    records = sorted(records, key=lambda record: record.run)
    runs = [r.rebuilt for r in records if r.rebuilt is not None]
    first = records[0]
    audit = first.configuration["audit"]
    steps = audit["local_steps"] if audit["protocol"] == "fedavg" else 1
    cell = RebuiltCell(
        property=name,
        rule=rule,
        fraction=fraction,
        participants=participants,
        attack=attack,
        view=first.view,
        batch=int(name.rpartition("-")[2]) * steps,
        runs=len(runs),
        rounds=sum(len(run.guess) for run in runs),
        failures=tuple(r.reason for r in records if r.status == "failed"),
        measure=None,
        found=None,
        guess=None,
        gain=None,
        beside={},
        p_value=None,
        q_value=None,
        colluders=colluders_in(first.configuration, participants),
        defence=defence,
    )
    if not runs:
        return cell
    rng = Seed(first.seed).generator("permutation", *(str(p) for p in key if p != ""))
    return replace(cell, **_measured(runs, rng))


def _measured(runs: Sequence[Rebuilt], rng: np.random.Generator) -> dict[str, Any]:
    measure = MEASURES[runs[0].measure]
    found, guess = [run.found for run in runs], [run.guess for run in runs]
    top, counted = measure.top, measure.counted
    return {
        "measure": measure,
        "found": mean_over_runs(found, top=top, counted=counted),
        "guess": mean_over_runs(guess, top=top, counted=counted),
        "gain": gain_over_runs(found, guess, top=top, counted=counted),
        "answered": float(np.mean([n for run in runs for n in run.answered])),
        "beside": {
            name: mean_over_runs([run.beside[name] for run in runs], counted="exact" in name)
            for name in runs[0].beside
        },
        "p_value": of_other_rounds_p([np.array(run.shares) for run in runs], rng),
    }
