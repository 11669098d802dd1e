"""A few steps of a scenario, timed now: what :mod:`privaudit.experiment.estimate` multiplies."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from privaudit.attack.protocol import make_attack
from privaudit.attack.registry import load_attack
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.games import GAMES
from privaudit.machine import peak_memory
from privaudit.observation.public import SummedRound
from privaudit.observation.views import Observation
from privaudit.scenario.grid import Cell, rounds_of
from privaudit.scenario.schema import PUBLIC_LEDGER, WHOSE
from privaudit.statistics.runs import FloatArray
from privaudit.world import World

REPEATS = 3
"""Gradient steps, and rounds of the attacks, that are timed; of these three times as many, too."""

Range = FloatArray
"""[2] seconds: by the fastest and by the slowest of what was timed."""


@dataclass(frozen=True)
class Costs:
    """Of one cell of some number of participants, in seconds and bytes.

    Attributes:
        step: of one batch of a client; such ranges are [2] seconds.
        shadows: of what the model computes of one round for all attacks: the adversary's shadows.
        fit: of all attacks on one round.
        score: of all attacks in the end.
        memory: what the attacks keep.
    """

    step: Range
    shadows: Range
    fit: Range
    score: float
    memory: int


_NOTHING = np.zeros(2), np.zeros(2), 0.0, 0


def cell_costs(world: World, cell: Cell) -> Costs:
    """What one round of a cell, and its scores, would take; reading a ledger takes no time."""
    if cell.game == PUBLIC_LEDGER:
        return Costs(_step_seconds(world, world.scenario.audit.batch_size), *_NOTHING)
    given = GAMES[cell.game].given(world, [cell])[cell]
    rules = given.rules
    seen = _made_up(world, cell, rules.local_steps, rules.batch_size)
    step = _step_seconds(world, rules.batch_size)
    few, many = min(REPEATS, len(seen)), len(seen)
    before = peak_memory()
    shadows, fits, score = _attack_seconds(world, cell, seen[:few])
    if many > few:
        more_shadows, more_fits, score_many = _attack_seconds(world, cell, seen)
        # Scoring has a fixed part and one that grows with the rounds; two lengths tell them apart.
        slope = max(0.0, (score_many - score) / (many - few))
        score = score_many + slope * (rounds_of(world.scenario, cell) - many)
        shadows, fits = shadows + more_shadows, fits + more_fits
    return Costs(
        step,
        _extremes(shadows),
        _extremes(fits),
        score,
        max(0, peak_memory() - before),
    )


def _step_seconds(world: World, batch_size: int) -> Range:
    engine, seed = world.engine(0), world.run_seed(0).child("estimate")
    batch = np.arange(min(batch_size, len(world.dataset)))
    return time_range(lambda: engine.gradients(engine.initial, world.samples, [batch], seed))


def _extremes(seconds: list[float]) -> Range:
    return np.array([min(seconds), max(seconds)])


def _attack_seconds(
    world: World, cell: Cell, seen: list[Observation]
) -> tuple[list[float], list[float], float]:
    """Of what the model computes of each round, of all attacks on it, and of the scores."""
    given = GAMES[cell.game].given(world, [cell])[cell]
    attacks = [
        make_attack(
            load_attack(name),
            world.scenario.attack_options.get(name, {}),
            world.attacker_seed(0).child("estimate", name),
        )
        for name in world.scenario.attacks_of(cell.game)
    ]

    def listen(observation: Observation | SummedRound) -> None:
        for attack in attacks:
            attack.listen(observation, given)

    shadows, fits = [], []
    everybody = dict.fromkeys(range(cell.participants), 1)
    rounds = [SummedRound(one, everybody) for one in seen] if cell.game == WHOSE else seen
    for observation in rounds:
        shadows.append(_time(lambda o=observation: given.prepare(o)))  # type: ignore[misc]
        fits.append(_time(lambda o=observation: listen(o)))  # type: ignore[misc]
    return shadows, fits, _time(lambda: [attack.answer() for attack in attacks])


def _made_up(world: World, cell: Cell, steps: int, size: int) -> list[Observation]:
    """Rounds as they would be seen, each the step of one batch of the target.

    No more than the cell has: some attacks play them all again in the end.
    """
    engine, seed = world.engine(cell.run), world.run_seed(cell.run).child("estimate")
    clients = world.deal(cell.run).audited(cell.participants).clients
    rng = seed.generator("batches")
    server = world.scenario.audit.threat_model == "server"
    found = []
    for number in range(min(3 * REPEATS, rounds_of(world.scenario, cell))):
        deltas = [
            -world.scenario.federation.lr
            * engine.gradients(
                engine.initial, world.samples, [rng.choice(clients[client], size)], seed
            )[0]
            * steps
            for client in (ADVERSARY, TARGET)
        ]
        weight = 1.0 / cell.participants
        mean = (deltas[0] + deltas[1] * (cell.participants - 1)) * weight
        found.append(
            Observation(
                round=number,
                before=engine.initial,
                global_delta=mean,
                own_delta=deltas[0],
                own_weight=weight,
                participants=cell.participants,
                client_deltas={ADVERSARY: deltas[0], TARGET: deltas[1]} if server else {},
                target=TARGET if server else None,
            )
        )
    return found


def time_range(work: Callable[[], object]) -> Range:
    """Seconds of some work, by the fastest and the slowest of :data:`REPEATS`."""
    work()  # the first call also allocates
    taken = [_time(work) for _ in range(REPEATS)]
    return np.array([min(taken), max(taken)])


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
