"""How the audited rounds ended: did anybody speak, and was there still a model?

Kept of every cell beside its scores (``audited/``), because an attack on a federation that
diverged, or on an aggregate that holds nobody else, gives scores like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from privaudit.custody.folder import RunFolder
from privaudit.engine.engine import Engine
from privaudit.errors import UserError, first_problem
from privaudit.federation.aggregation import Submission, Verdict
from privaudit.federation.rounds import RoundOutcome
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import NO_DEFENCE, PROPERTY, Scenario
from privaudit.world import World

LOSS, ACCURACY = "loss_after", "accuracy_after"
REFUSED, ABOVE_95, ABOVE_99 = "own_refused", "own_above_95", "own_above_99"
"""Facts of a cell with an active participant (:func:`costs_of`)."""

DEFENDED, BYTES_UP = "accuracy_defended", "bytes_up"
"""Facts of a cell of a scenario with defences (:func:`price_of`)."""

MOST_RECORDS = 1000
"""Held-out records the model is tried on at the end."""


class Ending(BaseModel):
    """What is kept of one cell.

    Attributes:
        rounds: that were audited.
        heard: those with the delta of an honest client in the aggregate.
        own: those with the adversary's own delta in it.
        not_finite: those in which a client's delta was not finite.
        test_loss: mean loss of the last model on held-out records; None: not finite.
        test_accuracy: its accuracy on them; kept where the adversary is active, as what follows,
            or where the scenario names defences.
        above_95: rounds in which the adversary's delta was longer than 95 % of those that honest
            clients sent in all rounds.
        above_99: than 99 % of them.
        bytes_up: that a client sent in a round, on average; kept where there are defences.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rounds: NonNegativeInt
    heard: NonNegativeInt
    own: NonNegativeInt
    not_finite: NonNegativeInt
    test_loss: float | None
    test_accuracy: float | None = None
    above_95: NonNegativeInt | None = None
    above_99: NonNegativeInt | None = None
    bytes_up: float | None = None


class Endings:
    """Counts over the audited rounds of one cell.

    They are those of :class:`Ending`.
    """

    def __init__(self, coalition: Sequence[int]) -> None:
        self._coalition = coalition
        self.rounds = self.heard = self.own = self.not_finite = 0
        self.bytes_up = self.sent = 0
        self._norms: dict[bool, list[float]] = {True: [], False: []}

    def begin(self, *_: Any) -> None:
        """Nothing to do."""

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """Remember how long a delta is, if it has a length."""
        own = submission.client == self._coalition[0]
        if math.isfinite(verdict.norm) and (own or submission.client not in self._coalition):
            self._norms[own].append(verdict.norm)

    def above(self, share: float) -> int:
        """Rounds in which the adversary's delta was longer than such a share of honest ones."""
        own, honest = self._norms[True], self._norms[False]
        return int(np.sum(np.array(own) > np.quantile(honest, share))) if honest else 0

    def end(self, outcome: RoundOutcome) -> None:
        """Count a round."""
        self.rounds += 1
        self.bytes_up += outcome.metrics.bytes_up
        self.sent += outcome.metrics.clients
        self.own += self._coalition[0] in outcome.weights
        self.heard += any(client not in self._coalition for client in outcome.weights)
        self.not_finite += any(verdict.reason == "not finite" for verdict in outcome.verdicts)


def keep_ending(
    world: World,
    folder: RunFolder,
    cell: Cell,
    found: Endings,
    last: tuple[float, float],
    active: bool = False,
) -> None:
    """Write what a report needs.

    Args:
        world: the scenario.
        folder: of the run.
        cell: whose rounds these were.
        found: in them.
        last: :func:`last_model`.
        active: whether the adversary sent deltas of its own making.
    """
    loss, accuracy = last
    row = Ending(
        rounds=found.rounds,
        heard=found.heard,
        own=found.own,
        not_finite=found.not_finite,
        test_loss=loss if math.isfinite(loss) else None,
    )
    if active:
        above = {"above_95": found.above(0.95), "above_99": found.above(0.99)}
        row = row.model_copy(update={"test_accuracy": accuracy} | above)
    if has_defences(world.scenario):
        sent = {"bytes_up": found.bytes_up / max(1, found.sent)}
        row = row.model_copy(update={"test_accuracy": accuracy} | sent)
    folder.write_json(_file(cell), row.model_dump(exclude_unset=True))


def last_model(
    world: World, engine: Engine, run: int, parameters: Any, buffers: Any = None
) -> tuple[float, float]:
    """Mean loss and accuracy on (some of) the held-out records of a run, after the rounds."""
    test = world.deal(run).training.test[:MOST_RECORDS]
    samples = world.samples.chosen(test)
    with engine.starting_from(buffers):
        return engine.evaluate(parameters, samples)


def costs_of(folder: RunFolder, cell: Cell) -> dict[str, float]:
    """What an active participant's deltas did besides, by name; a loss only where it is finite.

    Shares are of the audited rounds.
    """
    ending = _read(folder, _file(cell))
    if ending.test_accuracy is None or ending.above_95 is None or ending.above_99 is None:
        return {}
    found = {
        ACCURACY: ending.test_accuracy,
        REFUSED: 1 - ending.own / ending.rounds,
        ABOVE_95: ending.above_95 / ending.rounds,
        ABOVE_99: ending.above_99 / ending.rounds,
    }
    return found if ending.test_loss is None else found | {LOSS: ending.test_loss}


def price_of(world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
    """What the defence of a cell costs, by name; empty where the scenario names none.

    Of audited rounds it is the accuracy of a federation that trained as many ordinary rounds under
    it (:func:`privaudit.experiment.training.price_run`), else that of the one that was listened to.
    """
    if not has_defences(world.scenario):
        return {}
    ending, trained = _read(folder, _file(cell)), folder.file(prices_file(cell.run))
    found = {} if ending.bytes_up is None else {BYTES_UP: ending.bytes_up}
    accuracy = ending.test_accuracy
    if cell.game == PROPERTY and trained.is_file():
        key = (cell.participants, cell.defence)
        rows = folder.read_json(prices_file(cell.run))
        accuracy = next(
            row["test_accuracy"] for row in rows if (row["participants"], row["defence"]) == key
        )
    return found if accuracy is None else found | {DEFENDED: accuracy}


def has_defences(scenario: Scenario) -> bool:
    """Whether audited rounds of a scenario are defended by something that has a name."""
    return scenario.audit.defences != [NO_DEFENCE]


def prices_file(run: int) -> str:
    """Where it lies what the defences of a run cost."""
    return f"training/run-{run}.defences.json"


def read_endings(folder: RunFolder, scenario: Scenario) -> Sequence[dict[str, Any]]:
    """One per cell, with its run, property and participants; none of before they were kept.

    Raises:
        UserError: a file is none of what :func:`keep_ending` writes.
    """
    return [
        {"run": c.run, "property": c.property, "participants": c.participants}
        | _read(folder, _file(c)).model_dump()
        for c in cells_of(scenario)
        if folder.file(_file(c)).is_file()
    ]


def _read(folder: RunFolder, name: str) -> Ending:
    try:
        return Ending.model_validate(folder.read_json(name))
    except ValidationError as error:
        raise UserError(
            f"does not say how a cell's rounds ended: {first_problem(error)}",
            where=str(folder.file(name)),
        ) from error


def _file(cell: Cell) -> str:
    return f"audited/run-{cell.run}/{cell.name}.json"
