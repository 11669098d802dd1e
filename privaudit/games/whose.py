"""The game ``whose``: which clients hold a property, by sums alone and a list of who was in them?

Under secure aggregation nobody sees what one client sent, only the sum of a cohort. Half of the
clients hold the property in every batch of theirs, the others in none. The adversary is client 0,
sees each round's sum, and reads on the public ledger who took part (R. Kerkouche, G. Acs and
M. Fritz, "Client-specific Property Inference against Secure Aggregation in Federated Learning",
WPES 2023, where the server knows it). What the ledger publishes is crossed with the rest: the list
of every round, how often each client took part since it last claimed, or nothing.

All ledgers are of the same federation, which is run once for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.attack.whose import Suspects
from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.custody.models import trained_buffers, trained_parameters
from privaudit.federation.aggregation import Submission, Verdict
from privaudit.federation.partition import ADVERSARY
from privaudit.federation.phases import AuditedPhase
from privaudit.federation.rounds import ClientWork, RoundObserver, cohort_of, run_rounds
from privaudit.federation.schedule import PropertyPools, as_batches, draw, property_pools
from privaudit.games.ending import Endings, keep_ending, last_model, price_of
from privaudit.games.listening import chosen_samples, tap_on
from privaudit.games.protocol import Game
from privaudit.games.public_ledger import public_file
from privaudit.observation.public import SummedRound
from privaudit.observation.trace import Trace
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell
from privaudit.scenario.schema import WHOSE, claims_every
from privaudit.world import World

Place = tuple[str, float, int, str]
"""What federations of a property differ in: how deltas are sent, and how many clients there are."""


class WhoseGame(Game):
    """See the module."""

    name = WHOSE

    def observe(
        self, world: World, folder: RunFolder, cells: Sequence[Cell]
    ) -> dict[Cell, EvidenceCollector]:
        """One federation for all ledgers; nobody is paid for it on the run's own."""
        for some in _by_place(cells).values():
            _observe(world, folder, some)
        return {}

    def view(self, folder: RunFolder, cell: Cell) -> Iterable[SummedRound]:
        """The trace, beside what the ledger says."""
        seen = Trace.open(trace_folder(folder, cell)).view()
        return _Summed(seen, folder.read_lines(public_file(cell)))

    def facts(self, world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
        """What a defence costs, where the scenario names some."""
        return price_of(world, folder, cell)

    def given(self, world: World, cells: Sequence[Cell]) -> dict[Cell, Suspects]:
        """Ledgers of one federation share what is computed of its rounds."""
        found: dict[Cell, Suspects] = {}
        for some in _by_place(cells).values():
            first = Suspects(_adversary(world, some[0]), some[0].participants)
            found |= dict.fromkeys(some, first)
        return found


@dataclass(frozen=True)
class _Summed(Iterable[SummedRound]):
    """What is seen of the rounds, and who was in each, as often as it is asked for."""

    seen: Iterable[Observation]
    rows: Sequence[Mapping[str, int]]

    def __iter__(self) -> Iterator[SummedRound]:
        for observation, row in zip(self.seen, self.rows, strict=True):
            yield SummedRound(observation, {int(who): times for who, times in row.items()})


def _by_place(cells: Sequence[Cell]) -> dict[Place, list[Cell]]:
    found: dict[Place, list[Cell]] = {}
    for cell in cells:
        place = (cell.rule, cell.fraction, cell.participants, cell.defence)
        found.setdefault(place, []).append(cell)
    return found


def _about(world: World, cell: Cell) -> str:
    return world.scenario.asked_of_clients[cell.property].about


def _seed(world: World, cell: Cell) -> Seed:
    return world.audit_seed(cell.run).child(WHOSE, _about(world, cell), cell.participants)


# ------------------------------------------------------------------------------------ federation


def _observe(world: World, folder: RunFolder, cells: Sequence[Cell]) -> None:
    cell, run = cells[0], cells[0].run
    engine, seed = world.engine(run), _seed(world, cell)
    phase = world.audited_phase(cell.rule, cell.fraction, cell.participants, cell.defence)
    start, buffers = trained_parameters(folder, run), trained_buffers(folder, run)
    everybody, ending = _Present(), Endings((ADVERSARY,))
    with ExitStack() as stack:
        taps: list[RoundObserver] = [
            tap_on(world, folder, one, engine, start, world.rules(one), stack, buffers)
            for one in cells
        ]
        for outcome in run_rounds(
            engine,
            world.samples,
            start,
            _plan(world, cell, phase, seed),
            phase.training,
            rounds=phase.rounds,
            seed=seed,
            observers=[*taps, everybody, ending],
            buffers=buffers,
        ):
            last = outcome
    model = last_model(world, engine, run, last.after, last.buffers)
    for one in cells:
        says = world.scenario.asked_of_clients[one.property].says
        folder.write_lines(public_file(one), list(published(everybody.rounds, says)))
        keep_ending(world, folder, one, ending, model)


class _Planner:
    """Who trains on what in each round; a holder's records all have the property."""

    def __init__(
        self, pools: PropertyPools, present: np.ndarray, phase: AuditedPhase, seed: Seed
    ) -> None:
        self._pools, self._phase, self._seed = pools, phase, seed
        self._holds = np.concatenate([[False], present])

    def __call__(self, number: int) -> list[ClientWork]:
        phase, seed = self._phase, self._seed
        chosen = cohort_of(phase.participants, phase.cohort, seed.generator("cohort", number))
        return [ClientWork(client, self._batches(client, number)) for client in chosen]

    def _batches(self, client: int, number: int) -> Sequence[np.ndarray]:
        phase = self._phase
        records = draw(
            self._pools,
            client,
            bool(self._holds[client]),
            size=phase.batch_size * phase.local_steps,
            share=phase.property_share,
            others=phase.others,
            rng=self._seed.generator("draw", client, number),
            target=client,
        )
        return as_batches(records, phase.batch_size)


def _plan(world: World, cell: Cell, phase: AuditedPhase, seed: Seed) -> _Planner:
    partition = world.deal(cell.run).audited(cell.participants)
    about, size = _about(world, cell), phase.batch_size
    pools = property_pools(world.dataset, partition, about, size, phase.others, rotate=True)
    return _Planner(pools, world.presence(cell), phase, seed)


# ------------------------------------------------------------------------------- the public list


class _Present:
    """A round observer that notes whose deltas are in the sum."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []

    def begin(self, *_: object) -> None:
        """Open a list."""
        self.rounds.append([])

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """Note who was accepted: the others are in no sum, and are paid nothing."""
        if verdict.accepted:
            self.rounds[-1].append(submission.client)

    def end(self, _: object) -> None:
        """Nothing to do."""


def published(rounds: Sequence[Sequence[int]], says: str) -> Iterator[dict[str, int]]:
    """What the ledger says after each round: client, as text -> times that it took part.

    Args:
        rounds: of each, whose deltas were accepted.
        says: ``listed``, ``claims-N`` (what is left is claimed in the end) or ``unlisted``.
    """
    every = claims_every(says) or 1
    since: Counter[int] = Counter()
    for number, clients in enumerate(rounds, 1):
        since.update(clients)
        if says != "unlisted" and (number % every == 0 or number == len(rounds)):
            yield {str(client): times for client, times in sorted(since.items())}
            since.clear()
        else:
            yield {}


def _adversary(world: World, cell: Cell) -> Adversary:
    """What client 0 owns: its records, with the property of each."""
    own, about = world.pooled(cell.run, cell.participants), _about(world, cell)
    groups = world.dataset.groups
    return Adversary(
        engine=world.engine(cell.run),
        auxiliary=AuxiliaryData(
            chosen_samples(world, own),
            world.dataset.properties[about][own],
            None if groups is None else groups[own],
        ),
        rules=world.rules(cell),
        shadows=world.scenario.audit.shadows,
        seed=world.attacker_seed(cell.run).child("shadows", WHOSE, about),
    )
