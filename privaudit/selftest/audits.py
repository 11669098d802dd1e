"""Audits of known worlds, by the same stages as a user's: federation, trace, attack, report."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np

from privaudit.attack.layers import signal_by_layer, sizes_of
from privaudit.attack.protocol import GameAttack, fit_together, make_attack
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.custody.plan import PLAN, Plan, make_plan
from privaudit.data.dataset import Dataset
from privaudit.engine.process import tune_process
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.judge import judge
from privaudit.evaluation.layers import LAYERS, LayerScores
from privaudit.evaluation.records import Record
from privaudit.experiment.executors.here import Here
from privaudit.experiment.executors.local import Local
from privaudit.experiment.executors.protocol import Vanished
from privaudit.experiment.holdings import Key, holdings_of
from privaudit.experiment.training import train_run
from privaudit.games import GAMES
from privaudit.games.property import adversary_of
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed
from privaudit.report.content import read_content
from privaudit.report.plain import report_markdown
from privaudit.scenario.grid import Cell, cells_for_layers, cells_of
from privaudit.scenario.schema import Scenario
from privaudit.selftest.world import HARMLESS
from privaudit.source import source_of_package
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import RunScores
from privaudit.studies.dilution import FOLDERS
from privaudit.studies.dilution_curves import dilution_curves
from privaudit.studies.dilution_report import answers
from privaudit.world import World

Attacks = Sequence[type[GameAttack]]


class Known(Protocol):
    """A world whose truth is known; what an audit of it needs."""

    @property
    def name(self) -> str:
        """Of the world."""

    @property
    def participants(self) -> int:
        """K."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """All numbers of participants, increasing."""

    @property
    def layers(self) -> bool:
        """Whether layers are measured, too."""

    def scenario(self, seed: Seed, attacks: list[str]) -> Scenario:
        """One audit, as a user would write it down."""

    def dataset(self, seed: Seed) -> Dataset:
        """Fresh records for all participants."""


@dataclass(frozen=True)
class Scored:
    """One run's scores by an attack, and the truth."""

    attack: str
    scores: list[float]
    present: list[bool]


@dataclass(frozen=True)
class Audited:
    """What one audit printed, and the scores behind it.

    Attributes:
        report: the report as Markdown, which has what the page has.
        harmless: the answer of the dilution report; empty for a world of one size.
        table: the cells of the inference-accuracy table, which the report prints.
        scored: at the world's number of participants, by run and attack.
        failure: why there is no result; empty where there is one.
    """

    report: str = ""
    harmless: str = ""
    table: tuple[TableCell, ...] = ()
    scored: tuple[Scored, ...] = ()
    failure: str = ""

    @property
    def cells(self) -> dict[str, TableCell]:
        """Of each attack, with the most participants there are."""
        return {cell.attack: cell for cell in sorted(self.table, key=lambda c: c.participants)}

    @cached_property
    def runs(self) -> dict[str, list[RunScores]]:
        """The scores by attack."""
        found: dict[str, list[RunScores]] = {}
        for one in self.scored:
            run = RunScores(np.array(one.scores), np.array(one.present))
            found.setdefault(one.attack, []).append(run)
        return found


@dataclass(frozen=True)
class Series:
    """What all audits of one series have in common; audit n has the n-th child of the seed."""

    world: Known
    attacks: Attacks
    seed: Seed


def audits(
    world: Known, count: int, attacks: Attacks, seed: Seed, *, workers: int = 1
) -> Iterator[Audited]:
    """``count`` independent audits of a world, each with records of its own, in their order.

    One worker stays in this process. An audit that fails says so and does not stop the others.
    """
    series = Series(world, tuple(attacks), seed.child(world.name))
    early: dict[int, Audited] = {}
    awaited = 0
    with nullcontext(Here()) if workers == 1 else Local() as executor:
        for number, done in executor.each(audit_task, series, range(count), workers=workers):
            early[number] = _lived(done)
            while awaited in early:
                yield early.pop(awaited)
                awaited += 1


def _lived(done: Audited | Vanished) -> Audited:
    return Audited(failure=str(done)) if isinstance(done, Vanished) else done


def audit_task(series: Series, number: int) -> Audited:
    """One audit; whatever breaks is a finding of the self-test."""
    tune_process()
    try:
        return audit(series.world, series.seed.child(number), series.attacks)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Audited(failure=" ".join(reason.split()))


def audit(world: Known, seed: Seed, attacks: Attacks) -> Audited:
    """One audit from data to report, in a folder that is removed afterwards."""
    scenario = world.scenario(seed, [attack.name for attack in attacks])
    made = World(scenario, world.dataset(seed))
    sources = {a.name: source_of_package(a.__module__.partition(".")[0]) for a in attacks}
    plan = make_plan(scenario, made.dataset, attacks=sources)
    with (
        TemporaryDirectory(prefix="privaudit-self-test-") as place,
        RunFolder.create(Path(place) / FOLDERS["single-round"], scenario, resume=False) as folder,
    ):
        held = holdings_of(made)
        records = [
            record
            for cell in cells_of(scenario)
            for record in _cell(made, plan, folder, cell, attacks, held)
        ]
        layers = _layers(made, folder) if world.layers else []
        folder.write_text(PLAN, plan.model_dump_json())
        folder.write_lines("records.jsonl", [r.model_dump(mode="json") for r in records])
        folder.write_lines("timings.jsonl", [])
        folder.write_lines(LAYERS, [row.model_dump(mode="json") for row in layers])
        content = read_content(folder)
        return Audited(
            report=report_markdown(content, []),
            table=tuple(content.cells),
            harmless=_answer(Path(place)) if len(world.sizes) > 1 else "",
            scored=tuple(
                Scored(record.attack, record.scores, record.present)
                for record in records
                if record.participants == world.participants
            ),
        )


def _answer(place: Path) -> str:
    return " ".join(answers(dilution_curves(place, threshold=HARMLESS), HARMLESS))


def _cell(
    world: World,
    plan: Plan,
    folder: RunFolder,
    cell: Cell,
    attacks: Attacks,
    held: dict[Key, list[Holdings]],
) -> Iterator[Record]:
    train_run(world, folder, cell.run)
    game = GAMES[cell.game]
    game.observe(world, folder, [cell])
    view = Trace.open(trace_folder(folder, cell)).view()
    seed = world.attacker_seed(cell.run).child("attack")
    made = [make_attack(attack, {}, seed.child(attack.name, cell.name)) for attack in attacks]
    fit_together(made, view, game.given(world, [cell])[cell])
    present = [bool(p) for p in world.presence(cell)]
    facts = game.facts(world, folder, cell)
    for attack in made:
        scores = [float(score) for score in attack.answer()]
        yield judge(
            plan,
            cell,
            attack.name,
            checksum=world.dataset.checksum,
            scores=scores,
            present=present,
            holdings=held.get((cell.run, cell.property, cell.participants), ()),
            facts=facts,
        )


def _layers(world: World, folder: RunFolder) -> list[LayerScores]:
    """Of every run, as the audit of a user has them."""
    found = []
    for cell in cells_for_layers(world.scenario):
        trace = Trace.open(trace_folder(folder, cell))
        signals = signal_by_layer(
            trace.view(),
            adversary_of(world, cell),
            count=len(trace),
            seed=world.attacker_seed(cell.run).child("layers", cell.name),
        )
        sizes = sizes_of(trace.layout)
        found += [
            LayerScores.of(
                cell,
                layer,
                sizes[layer],
                None if scores is None else scores.tolist(),
                world.presence(cell).tolist(),
            )
            for layer, scores in signals.items()
        ]
    return found
