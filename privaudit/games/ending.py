"""How the audited rounds ended: did anybody speak, and was there still a model?

Kept of every cell beside its scores (``audited/``), because an attack on a federation that
diverged, or on an aggregate that holds nobody else, gives scores like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from privaudit.custody.folder import RunFolder
from privaudit.engine.engine import Engine, Samples
from privaudit.errors import UserError, first_problem
from privaudit.federation.rounds import RoundOutcome
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import Scenario
from privaudit.world import World

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
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rounds: NonNegativeInt
    heard: NonNegativeInt
    own: NonNegativeInt
    not_finite: NonNegativeInt
    test_loss: float | None


class Endings:
    """Counts over the audited rounds of one cell.

    They are those of :class:`Ending`.
    """

    def __init__(self, coalition: Sequence[int]) -> None:
        self._coalition = coalition
        self.rounds = self.heard = self.own = self.not_finite = 0

    def begin(self, *_: Any) -> None:
        """Nothing to do."""

    def submitted(self, *_: Any) -> None:
        """Nothing to do."""

    def end(self, outcome: RoundOutcome) -> None:
        """Count a round."""
        self.rounds += 1
        self.own += self._coalition[0] in outcome.weights
        self.heard += any(client not in self._coalition for client in outcome.weights)
        self.not_finite += any(verdict.reason == "not finite" for verdict in outcome.verdicts)


def keep_ending(folder: RunFolder, cell: Cell, found: Endings, loss: float) -> None:
    """Write what a report needs; ``loss`` is the model's, on held-out records, after the rounds."""
    row = Ending(
        rounds=found.rounds,
        heard=found.heard,
        own=found.own,
        not_finite=found.not_finite,
        test_loss=loss if math.isfinite(loss) else None,
    )
    folder.write_json(_file(cell), row.model_dump())


def last_loss(world: World, engine: Engine, run: int, parameters: Any) -> float:
    """Mean loss on (some of) the held-out records of a run."""
    test = world.deal(run).training.test[:MOST_RECORDS]
    samples = Samples(world.samples.inputs[test], world.samples.labels[test])
    return engine.evaluate(parameters, samples)[0]


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
