"""The grid of a scenario: cells (run, property, rule, fraction, participants, defence), in groups.

A group is what one worker observes and attacks in one go, so that its cells share work. How cells
are grouped changes how long a run takes, never what it finds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

from privaudit.federation.rewards import VALUED
from privaudit.federation.settling import policy_named
from privaudit.scenario.schema import (
    NO_DEFENCE,
    PROPERTY,
    PUBLIC_LEDGER,
    RECONSTRUCTION,
    WHOSE,
    Scenario,
)

UNPAID = (PUBLIC_LEDGER, WHOSE)
"""Games about what a ledger says: their rounds are on no ledger of the run's."""


def federation_of(schedule: str, run: int) -> int:
    """Which federation a run is: under schedule ``dataset`` each is there in both states.

    Runs 2 i and 2 i + 1 are then the same federation, with the property throughout and without it;
    the deal, the initial weights, the batches of everybody else and the adversary are the same.
    """
    return run // 2 if schedule == "dataset" else run


@dataclass(frozen=True, order=True)
class Cell:
    """One table cell of one run, which is 0-based.

    ``property`` is what is asked about; in membership that name, in
    reconstruction the size of a batch. ``defence`` is a name of the scenario's, empty where none.
    """

    run: int
    property: str
    rule: str
    fraction: float
    participants: int
    game: str = PROPERTY
    defence: str = ""

    @cached_property
    def name(self) -> str:
        """A file name, the same for every run: ``bold_largest_0.1_k5``, or with ``_clipped``."""
        fraction = repr(self.fraction).removesuffix(".0")  # every digit: cells must not collide
        defence = f"_{self.defence}" if self.defence else ""
        return f"{self.property}_{self.rule}_{fraction}_k{self.participants}{defence}"


def how_sent(rule: str, defence: str) -> str:
    """What was done to deltas, in a word or two: ``largest``, or ``all, private``."""
    return f"{rule}, {defence}" if defence else rule


def cells_of(scenario: Scenario) -> list[Cell]:
    """Every cell, in table order.

    At fraction 1 all sharing rules are the same federation: it is run once, under rule ``all``.
    What nobody can tell the worth of is paid by no rule that asks for it: there is no such ledger.
    """
    audit = scenario.audit
    grid = product(
        range(scenario.runs),
        scenario.targets,
        audit.rules,
        audit.fractions,
        scenario.participants,
        audit.defences,
    )
    cells = (
        Cell(
            run,
            name,
            "all" if fraction == 1.0 else rule,
            fraction,
            participants,
            scenario.game_of(name),
            "" if defence == NO_DEFENCE else defence,
        )
        for run, name, rule, fraction, participants, defence in grid
    )
    return [cell for cell in dict.fromkeys(cells) if _can_be_paid(scenario, cell)]


def _can_be_paid(scenario: Scenario, cell: Cell) -> bool:
    if cell.game != PUBLIC_LEDGER:
        return True
    rule = policy_named(scenario.asked_of_ledgers[cell.property].reward).rule
    return rule not in VALUED or not any(
        step.hides_single_deltas for step in scenario.defence(cell.defence)
    )


def is_of_rounds(scenario: Scenario, cell: Cell) -> bool:
    """Whether a cell is about audited rounds: of a property, or of what a ledger says of it."""
    if cell.game == PUBLIC_LEDGER:
        return scenario.asked_of_ledgers[cell.property].question == "rounds"
    return cell.game == PROPERTY


def attacked_cells(scenario: Scenario) -> list[tuple[Cell, str]]:
    """Every cell with every attack on it, in table order: the records of a run."""
    return [
        (cell, attack) for cell in cells_of(scenario) for attack in scenario.attacks_of(cell.game)
    ]


def rounds_of(scenario: Scenario, cell: Cell) -> int:
    """Rounds of the federation of a cell."""
    if cell.game == RECONSTRUCTION and scenario.reconstruction:
        return scenario.reconstruction.rounds
    audited = is_of_rounds(scenario, cell) or cell.game == WHOSE
    return scenario.audit.rounds if audited else scenario.federation.rounds


def cells_for_layers(scenario: Scenario) -> list[Cell]:
    """For each run and property the cell with most shared and fewest participants.

    It is looked at layer by layer. None under schedules
    ``dataset`` and ``episodes``, where rounds of both kinds do not alternate, none of other
    games, and none behind a defence.
    """
    if scenario.audit.schedule != "single-batch":
        return []
    chosen: dict[tuple[int, str], Cell] = {}
    asked = [c for c in cells_of(scenario) if c.game == PROPERTY and not c.defence]
    for cell in sorted(asked, key=lambda c: (-c.fraction, c.participants)):
        chosen.setdefault((cell.run, cell.property), cell)
    return [cell for cell in cells_of(scenario) if cell in chosen.values()]


LARGEST_GROUP = 9
"""Attacks of all cells of a group are in memory at once."""

WORK_PER_CELL = 40
"""What listening and attacking cost whatever K, in steps of one client a round."""


def groups_of(scenario: Scenario, workers: int) -> list[tuple[Cell, ...]]:
    """The cells of a scenario, grouped by run and property, the most work first.

    Groups are split where they are too large, or too few for the workers, and the last ones where
    not every worker would have one. (Who trains one of the last runs, while others listen already,
    has one group less to do: both take about as long.) The clients of a smaller federation are
    those of a larger one, so that cells of about as many participants stay together.
    """
    groups: dict[tuple[int, str, str], list[Cell]] = {}
    for cell in cells_of(scenario):
        groups.setdefault((cell.run, cell.game, _shared(scenario, cell)), []).append(cell)
    largest = max((len(g) for g in groups.values() if not _is_whole(g)), default=1)
    parts = max(math.ceil(largest / LARGEST_GROUP), min(largest, math.ceil(workers / len(groups))))
    split = [part for group in groups.values() for part in _split(group, parts)]
    split.sort(key=work_of, reverse=True)
    late = scenario.runs if scenario.training_rounds and scenario.runs > workers else 0
    left = min(len(split), (late + len(split)) % workers)
    last = [part for group in split[len(split) - left :] for part in _split(group, workers)]
    return [*split[: len(split) - left], *last]


def _is_whole(cells: Sequence[Cell]) -> bool:
    """Ledgers of the same rounds share nearly all their work, and their attacks keep little."""
    return cells[0].game in UNPAID


def _shared(scenario: Scenario, cell: Cell) -> str:
    """Cells of a run and a game that have this in common are of the same federations.

    All ledgers are, that pay for the same rounds.
    """
    if cell.game == WHOSE:
        return scenario.asked_of_clients[cell.property].about
    if cell.game == PUBLIC_LEDGER:
        return scenario.asked_of_ledgers[cell.property].federation
    return cell.property


def _split(cells: Sequence[Cell], parts: int) -> list[tuple[Cell, ...]]:
    if _is_whole(cells):
        return [tuple(sorted(cells))]
    ordered = sorted(cells, key=lambda cell: cell.participants)
    cuts = [len(ordered) * part // parts for part in range(parts + 1)]
    dealt = (ordered[start:end] for start, end in pairwise(cuts))
    return [tuple(sorted(part)) for part in dealt if part]


def work_of(cells: Sequence[Cell]) -> int:
    """About how long a group takes, in steps of one client a round."""
    numbers = {cell.participants for cell in cells}
    return max(numbers) + len(numbers) + WORK_PER_CELL * len(cells)
