"""Audits of known worlds, each by the same stages as a user's: federation, trace, attack, judge."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from joblib import Parallel, delayed, parallel_config

from privaudit.attack.protocol import Attack, fit_together, make_attack
from privaudit.engine.process import tune_process
from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.judge import judge
from privaudit.evaluation.records import Record
from privaudit.experiment.attacking import adversary_of
from privaudit.experiment.cells import Cell, cells_of, trace_folder
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.holdings import Key, holdings_of
from privaudit.experiment.observing import observe_cells
from privaudit.experiment.plan import Plan, make_plan
from privaudit.experiment.training import train_run
from privaudit.experiment.world import World
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed
from privaudit.selftest.world import KnownWorld
from privaudit.source import source_of_package
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import RunScores

Attacks = Sequence[type[Attack]]


@dataclass(frozen=True)
class Audited:
    """What one audit says: a table cell and the scores behind it, by attack.

    ``failure`` is empty, or the reason why there is no result.
    """

    cells: dict[str, TableCell]
    runs: dict[str, list[RunScores]]
    failure: str = ""


def audits(
    world: KnownWorld, count: int, attacks: Attacks, seed: Seed, *, workers: int = 1
) -> Iterator[Audited]:
    """``count`` independent audits of a world, in order, each with records of its own.

    One worker stays in this process. An audit that fails says so and does not stop the others.
    """
    seeds = (seed.child(world.name, number) for number in range(count))
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=workers, return_as="generator")
        yield from pool(delayed(_guarded)(world, child, attacks) for child in seeds)


def audit(world: KnownWorld, seed: Seed, attacks: Attacks) -> Audited:
    """One audit from data to table cell, in a folder that is removed afterwards."""
    scenario = world.scenario(seed, [attack.name for attack in attacks])
    made = World(scenario, world.dataset(seed))
    sources = {a.name: source_of_package(a.__module__.partition(".")[0]) for a in attacks}
    plan = make_plan(scenario, made.dataset, attacks=sources)
    with (
        TemporaryDirectory(prefix="privaudit-self-test-") as place,
        RunFolder.create(Path(place) / "run", scenario, resume=False) as folder,
    ):
        held = holdings_of(made)
        records = [
            record
            for cell in cells_of(scenario)
            for record in _cell(made, plan, folder, cell, attacks, held)
        ]
    runs = {attack.name: _runs(records, attack.name) for attack in attacks}
    return Audited({cell.attack: cell for cell in table_cells(records)}, runs)


def _cell(
    world: World,
    plan: Plan,
    folder: RunFolder,
    cell: Cell,
    attacks: Attacks,
    held: dict[Key, list[Holdings]],
) -> Iterator[Record]:
    train_run(world, folder, cell.run)
    observe_cells(world, folder, [cell])
    view = Trace.open(trace_folder(folder, cell)).view()
    seed = world.attacker_seed(cell.run).child("attack")
    made = [make_attack(attack, {}, seed.child(attack.name, cell.name)) for attack in attacks]
    fit_together(made, view, adversary_of(world, cell))
    present = [bool(p) for p in world.presence(cell)]
    for attack in made:
        scores = [float(score) for score in attack.score()]
        yield judge(
            plan,
            cell,
            attack.name,
            checksum=world.dataset.checksum,
            scores=scores,
            present=present,
            holdings=held[cell.run, cell.property, cell.participants],
        )


def _runs(records: Sequence[Record], attack: str) -> list[RunScores]:
    return [record.run_scores() for record in records if record.attack == attack]


def _guarded(world: KnownWorld, seed: Seed, attacks: Attacks) -> Audited:
    tune_process()
    try:
        return audit(world, seed, attacks)
    except Exception as error:  # whatever breaks is a finding of the self-test
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Audited({}, {}, " ".join(reason.split()))
