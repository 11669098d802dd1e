"""The game ``public-ledger``: what does somebody learn who never took part and reads the chain?

For every question and reward policy there is a ledger, on which each federated round, or block of
rounds, is settled by the code that pays (:mod:`privaudit.federation.settling`). The adversary reads
that and nothing else. Questions about rounds are of the very rounds of the game ``property``; the
others are of ordinary training from the initial weights on, in which a random half of the clients
train on other records than the rest (:mod:`.asked_clients`): on all of theirs instead of a part, on
those with a property, on those of half of the classes.

Transactions say no more than that: the gas of a settlement follows from what it writes, commitments
are salted, order is that of the clients, and block times are those of the coordinator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from privaudit.attack.public_ledger import Outsider
from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder
from privaudit.custody.valuation import MOST_RECORDS
from privaudit.federation.partition import TARGET, Partition
from privaudit.federation.phases import train
from privaudit.federation.rewards import VALUED
from privaudit.federation.rounds import Active
from privaudit.federation.settling import RewardPolicy, Settlement, policy_named, settlements
from privaudit.games.asked_clients import choices
from privaudit.games.audited_rounds import Way, play, together
from privaudit.games.listening import chosen_samples, valuation
from privaudit.games.pay_facts import (
    POISONERS,
    RIDERS,
    equal_shares,
    pay_error,
    promised,
    sizes_found,
)
from privaudit.games.protocol import Game
from privaudit.games.worth import (
    FlippedPoisoner,
    Rider,
    ScaledPoisoner,
    StaleRider,
    Worth,
)
from privaudit.observation.public import PublicRound
from privaudit.scenario.grid import Cell, rounds_of
from privaudit.scenario.schema import PROPERTY, PUBLIC_LEDGER, Asked
from privaudit.world import World, listened_phase

Place = tuple[str, float, int, str]
"""What ledgers of the same rounds differ in beside the reward policy: how deltas are sent."""


class PublicLedger(Game):
    """See the module."""

    name = PUBLIC_LEDGER

    def check(self, world: World) -> None:
        """Everybody must hold records of the kinds that a question about clients needs."""
        about = [one for one in world.scenario.asked_of_ledgers.values() if one.of_clients]
        for asked in {one.federation: one for one in about}.values():
            for run in range(world.scenario.runs):
                choices(world, run, asked, max(world.scenario.participants))

    def observe(
        self, world: World, folder: RunFolder, cells: Sequence[Cell]
    ) -> dict[Cell, EvidenceCollector]:
        """All ledgers of the same rounds at once; nobody is paid for them a second time."""
        of_rounds = _asked(world, cells[0]).question == "rounds"
        paid = (_audited if of_rounds else _trained)(world, folder, cells)
        for cell, found in paid.items():
            folder.write_lines(public_file(cell), [_row(s) for s in found.ledger])
            folder.write_json(_facts_file(cell), found.facts)
        return {}

    def view(self, folder: RunFolder, cell: Cell) -> list[PublicRound]:
        """The rounds of the ledger."""
        seen, first = [], 0
        for row in folder.read_lines(public_file(cell)):
            found = _parsed(row)
            seen.append(
                PublicRound(first, found.rounds, found.budget, found.outcomes, found.amounts)
            )
            first += found.rounds
        return seen

    def facts(self, world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
        """How far pay is from worth, what free riders earn; how well sizes are found."""
        found = dict(folder.read_json(_facts_file(cell)))
        if _asked(world, cell).question == "sizes":
            true = np.array([len(held) for held in _dealt(world, cell).clients], dtype=float)
            found |= sizes_found(true, self.view(folder, cell))
        return found

    def given(self, world: World, cells: Sequence[Cell]) -> dict[Cell, Outsider]:
        """What is public of each federation."""
        return {
            cell: Outsider(
                _asked(world, cell).question,
                cell.participants,
                rounds_of(world.scenario, cell),
                TARGET,
            )
            for cell in cells
        }


@dataclass(frozen=True)
class _Paid:
    """A ledger, and what is known of its pay."""

    ledger: list[Settlement]
    facts: dict[str, float]


def public_file(cell: Cell) -> str:
    """Where it lies in the run folder what everybody could read."""
    return f"public/run-{cell.run}/{cell.name}.jsonl"


def _facts_file(cell: Cell) -> str:
    return f"public/run-{cell.run}/{cell.name}.pay.json"


def _asked(world: World, cell: Cell) -> Asked:
    return world.scenario.asked_of_ledgers[cell.property]


def _place(cell: Cell) -> Place:
    return cell.rule, cell.fraction, cell.participants, cell.defence


def _settled(world: World, cell: Cell, evidence: EvidenceCollector) -> list[Settlement]:
    rounds = [round_.cohort for round_ in evidence.rounds]
    seed = world.audit_seed(cell.run).child(PUBLIC_LEDGER, "noise", _asked(world, cell).reward)
    return list(settlements(_policy(world, cell), world.scenario.ledger.budget, rounds, seed))


def _policy(world: World, cell: Cell) -> RewardPolicy:
    return policy_named(_asked(world, cell).reward)


def _valued_by(world: World, cell: Cell) -> str:
    """The rule whose values a ledger pays by; empty where it asks for none."""
    rule = _policy(world, cell).rule
    return rule if rule in VALUED else ""


# ------------------------------------------------------------------ rounds with a property, or not


def _audited(world: World, folder: RunFolder, cells: Sequence[Cell]) -> dict[Cell, _Paid]:
    """Honest rounds and, beside them, the same with somebody else in the last client's place."""
    engine = world.engine(cells[0].run)
    watched: dict[tuple[Place, str, str], EvidenceCollector] = {}
    ways = []
    for place, alike in _by_place(cells).items():
        of_property = replace(alike[0], property=_asked(world, alike[0]).about, game=PROPERTY)
        rules = dict.fromkeys(_valued_by(world, cell) for cell in alike)
        for kind, active in _riders(world, alike[0]).items():
            evidence = {rule: _collector(world, alike[0].run, rule) for rule in rules}
            watched |= {(place, kind, rule): one for rule, one in evidence.items()}
            ways.append(Way(of_property, list(evidence.values()), active))
    worth = {}
    test = chosen_samples(world, world.deal(cells[0].run).training.test[:MOST_RECORDS])
    for participants, cell in {cell.participants: cell for cell in cells}.items():
        worth[participants] = Worth(engine, test)
        name = _asked(world, cell).about
        plain = Cell(cell.run, name, "all", 1.0, participants)
        ways.append(Way(plain, [worth[participants]]))
    for some in together(world, ways):
        play(world, folder, engine, some)
    return {cell: _paid(world, cell, watched, worth[cell.participants]) for cell in cells}


def _by_place(cells: Sequence[Cell]) -> dict[Place, list[Cell]]:
    found: dict[Place, list[Cell]] = {}
    for cell in cells:
        found.setdefault(_place(cell), []).append(cell)
    return found


def _collector(world: World, run: int, rule: str) -> EvidenceCollector:
    return EvidenceCollector(valuation(world, run, rule))


def _riders(world: World, cell: Cell) -> dict[str, dict[int, Active]]:
    """Who sends something else, by the kind of round; of two clients nobody rides free."""
    honest: dict[str, dict[int, Active]] = {"": {}}
    if cell.participants < 3:
        return honest
    seed, last = world.audit_seed(cell.run).child(PUBLIC_LEDGER, "rider"), cell.participants - 1
    phase = world.audited_phase(cell.rule, cell.fraction, cell.participants, cell.defence)
    flipped = FlippedPoisoner(
        world.engine(cell.run),
        world.samples,
        len(world.dataset.class_names),
        phase.training.rule,
        seed.child("flipped"),
    )
    return honest | {
        "random": {last: Rider(seed)},
        "stale": {last: StaleRider(seed)},
        "scaled": {last: ScaledPoisoner()},
        "flipped": {last: flipped},
    }


def _paid(
    world: World,
    cell: Cell,
    watched: Mapping[tuple[Place, str, str], EvidenceCollector],
    worth: Worth,
) -> _Paid:
    place, rule = _place(cell), _valued_by(world, cell)
    ledger = _settled(world, cell, watched[place, "", rule])
    facts = promised(_policy(world, cell), ledger)
    facts |= pay_error(ledger, worth.shares(cell.participants))
    for kind, name in (RIDERS | POISONERS).items():
        if (place, kind, rule) in watched:
            settled = _settled(world, cell, watched[place, kind, rule])
            facts[name] = equal_shares(settled, cell.participants)
    return _Paid(ledger, facts)


# ------------------------------------------------------------------------------ ordinary training


def _trained(world: World, folder: RunFolder, cells: Sequence[Cell]) -> dict[Cell, _Paid]:
    found: dict[Cell, _Paid] = {}
    for some in _by_place(cells).values():
        rules = dict.fromkeys(_valued_by(world, cell) for cell in some)
        evidence = {rule: _collector(world, some[0].run, rule) for rule in rules}
        _training(world, some[0], list(evidence.values()))
        for cell in some:
            ledger = _settled(world, cell, evidence[_valued_by(world, cell)])
            found[cell] = _Paid(ledger, promised(_policy(world, cell), ledger))
    return found


def _training(world: World, cell: Cell, observers: Sequence[EvidenceCollector]) -> None:
    engine = world.engine(cell.run)
    for _ in train(
        engine,
        world.samples,
        _dealt(world, cell),
        listened_phase(world.scenario, cell),
        start=engine.initial,
        seed=world.audit_seed(cell.run).child(PUBLIC_LEDGER),
        observers=observers,
    ):
        pass


def _dealt(world: World, cell: Cell) -> Partition:
    """Who trains on what. Cohorts are drawn among clients of other sizes where those are asked."""
    partition = world.deal(cell.run).audited(cell.participants)
    federation, every = _asked(world, cell).federation, world.scenario.asked_of_ledgers
    deciding = [one for one in every.values() if one.federation == federation and one.of_clients]
    if not deciding:
        return partition
    asked = deciding[0]
    answers = world.presence(replace(cell, property=asked.name))
    # A question about sizes had the seed to itself: its federations stay what they were.
    names = () if asked.question == "sizes" else (asked.question, asked.about)
    seed = world.audit_seed(cell.run).child(PUBLIC_LEDGER, "part", *names)
    clients = [
        choice.drawn(bool(answer), seed.generator(client))
        for client, (choice, answer) in enumerate(
            zip(choices(world, cell.run, asked, cell.participants), answers, strict=True)
        )
    ]
    return replace(partition, clients=tuple(clients))


# ----------------------------------------------------------------------------------------- on disk


def _row(settled: Settlement) -> dict[str, Any]:
    """As a JSON object; wei as text, which no JSON reader rounds."""
    row = asdict(settled)
    return row | {
        "budget": str(settled.budget),
        "amounts": {str(client): str(amount) for client, amount in settled.amounts.items()},
    }


def _parsed(row: Mapping[str, Any]) -> Settlement:
    return Settlement(
        row["rounds"],
        int(row["budget"]),
        {int(client): int(code) for client, code in row["outcomes"].items()},
        {int(client): int(amount) for client, amount in row["amounts"].items()},
    )
