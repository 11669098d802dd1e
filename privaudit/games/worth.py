"""What deltas were worth, whatever a ledger pays for them, and clients who send what costs nothing.

Worth is by :func:`privaudit.custody.valuation.leave_one_out` on held-out records. It is that of
deltas before any defence, so that the pay of all policies is held against one worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from privaudit.custody.valuation import leave_one_out
from privaudit.engine.engine import Engine, LocalUpdate, Samples
from privaudit.engine.local_rule import LocalRule
from privaudit.federation.aggregation import Submission, Verdict
from privaudit.federation.rounds import ClientWork, RoundOutcome
from privaudit.randomness import Seed

SCALE = 10.0
"""How much longer a delta is that is sent to count for more."""


class Worth:
    """A round observer that adds up what each client's deltas were worth.

    Args:
        engine: with the model.
        held_out: records nobody trains on.
    """

    def __init__(self, engine: Engine, held_out: Samples) -> None:
        self.by_client: dict[int, float] = {}
        self._engine, self._held_out = engine, held_out
        self._deltas: dict[int, tuple[Tensor, int]] = {}

    def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None:
        """Forget the round before."""
        self._deltas = {}

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """Remember a delta, whatever the verdict: it is worth what it is worth."""
        if np.isfinite(verdict.norm):
            self._deltas[submission.client] = submission.delta, submission.samples

    def end(self, outcome: RoundOutcome) -> None:
        """Leave out one after the other."""
        deltas = {client: delta for client, (delta, _) in self._deltas.items()}
        weights = {client: float(samples) for client, (_, samples) in self._deltas.items()}
        found = leave_one_out(self._loss, outcome.before, deltas, weights)
        for client, value in found.items():
            self.by_client[client] = self.by_client.get(client, 0.0) + value

    def shares(self, clients: int) -> np.ndarray | None:
        """[K] of all that was worth something; a client that did harm has 0. None: nobody did."""
        found = np.array([max(0.0, self.by_client.get(c, 0.0)) for c in range(clients)])
        total = found.sum()
        return found / total if np.isfinite(total) and total > 0 else None

    def _loss(self, parameters: Tensor) -> float:
        loss, _ = self._engine.evaluate(parameters, self._held_out)
        return loss


class Rider:
    """A free rider: it sends a random direction, as long as what it would send honestly."""

    def __init__(self, seed: Seed) -> None:
        self._seed = seed

    def send(self, number: int, before: Tensor, work: ClientWork, honest: LocalUpdate) -> Tensor:
        """As :class:`privaudit.federation.rounds.Active`."""
        generator = self._seed.torch_generator(number)
        return _as_long_as(torch.randn(len(before), generator=generator), honest.delta)


class StaleRider(Rider):
    """A free rider that sends what the global model moved by in the round before, once more."""

    def __init__(self, seed: Seed) -> None:
        super().__init__(seed)
        self._last: Tensor | None = None

    def send(self, number: int, before: Tensor, work: ClientWork, honest: LocalUpdate) -> Tensor:
        """As :class:`privaudit.federation.rounds.Active`; in the first round a random direction."""
        last, self._last = self._last, before.clone()
        if last is None:
            return super().send(number, before, work, honest)
        return _as_long_as(before - last, honest.delta)


class ScaledPoisoner:
    """A poisoner that sends its honest delta many times as long, to count for more."""

    def send(self, number: int, before: Tensor, work: ClientWork, honest: LocalUpdate) -> Tensor:
        """As :class:`privaudit.federation.rounds.Active`."""
        return honest.delta * SCALE


class FlippedPoisoner:
    """A poisoner that trains on its records with other labels: the last class for the first, ...

    Args:
        engine: one of its own.
        samples: all records.
        classes: how many there are.
        rule: by which clients train.
        seed: its stream.
    """

    def __init__(
        self, engine: Engine, samples: Samples, classes: int, rule: LocalRule, seed: Seed
    ) -> None:
        self._engine, self._rule, self._seed = engine, rule, seed
        self._samples = replace(samples, labels=classes - 1 - samples.labels)

    def send(self, number: int, before: Tensor, work: ClientWork, honest: LocalUpdate) -> Tensor:
        """As :class:`privaudit.federation.rounds.Active`."""
        seeds = [self._seed.child("round", number)]
        (update,) = self._engine.train_clients(
            before, self._samples, [work.batches], self._rule, seeds, number
        )
        return update.delta


def _as_long_as(direction: Tensor, other: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(direction)
    return direction * (torch.linalg.vector_norm(other) / norm) if float(norm) > 0 else direction
