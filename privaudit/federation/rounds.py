"""One federated round, for any protocol: clients train, transform and send; the server averages.

FedSGD is the special case of one batch and no momentum (McMahan et al., AISTATS 2017, section 2);
the global model moves by the average delta (server learning rate 1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from torch import Tensor

from privaudit.engine.engine import Engine, Samples
from privaudit.federation.aggregation import Aggregator, Submission, Verdict
from privaudit.federation.transforms import Transforms
from privaudit.randomness import Seed

ProtocolName = Literal["fedavg", "fedsgd"]


@dataclass(frozen=True)
class LocalTraining:
    """How a client turns its batches of a round into a delta."""

    lr: float
    momentum: float = 0.0
    transforms: Transforms = Transforms()
    norm_bound: float | None = None


@dataclass(frozen=True)
class ClientWork:
    """The batches one client trains on in one round, as indices into the records."""

    client: int
    batches: Sequence[np.ndarray]


@dataclass(frozen=True)
class RoundMetrics:
    """Of one round: means over the cohort, wall seconds, bytes of payload in both directions."""

    round: int
    clients: int
    accepted: int
    train_loss: float
    train_accuracy: float
    seconds: float
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True)
class RoundOutcome:
    """What the server knows after a round; ``weights`` and ``verdicts`` by client."""

    round: int
    before: Tensor
    delta: Tensor
    weights: dict[int, float]
    verdicts: tuple[Verdict, ...]
    metrics: RoundMetrics

    @property
    def after(self) -> Tensor:
        """The next global parameters."""
        return self.before + self.delta


class RoundObserver(Protocol):
    """Somebody who watches rounds go by: the tap of an adversary, the reward ledger."""

    def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None:
        """A round opens with these global parameters."""

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """A delta arrived and was verified."""

    def end(self, outcome: RoundOutcome) -> None:
        """The round is over."""


def run_round(
    engine: Engine,
    samples: Samples,
    before: Tensor,
    work: Iterable[ClientWork],
    training: LocalTraining,
    *,
    round_number: int,
    seed: Seed,
    observers: Sequence[RoundObserver] = (),
) -> RoundOutcome:
    """Run one round from the global parameters ``before`` [P].

    Args:
        work: one entry per client of the cohort.
        seed: the stream of this federation; each client and round draws from its own child.
        observers: told of the opening, each submission and the end, in that order.
    """
    started = time.perf_counter()
    cohort = sorted(work, key=lambda item: item.client)
    for observer in observers:
        observer.begin(round_number, before, [item.client for item in cohort])
    aggregator = Aggregator(engine.layout.size, training.norm_bound)
    losses, accuracies, bytes_up = [], [], 0
    for item in cohort:
        own = seed.child("client", item.client, "round", round_number)
        update = engine.train(
            before, samples, item.batches, lr=training.lr, momentum=training.momentum, seed=own
        )
        sent = training.transforms.apply(update.delta, engine.layout, own)
        submission = Submission(item.client, sent, update.samples)
        verdict = aggregator.add(submission)
        for observer in observers:
            observer.submitted(submission, verdict)
        losses.append(update.loss)
        accuracies.append(update.accuracy)
        bytes_up += payload_bytes(sent, training.transforms.sharing.fraction)
    metrics = RoundMetrics(
        round=round_number,
        clients=len(cohort),
        accepted=sum(v.accepted for v in aggregator.verdicts),
        train_loss=float(np.mean(losses)),
        train_accuracy=float(np.mean(accuracies)),
        seconds=time.perf_counter() - started,
        bytes_up=bytes_up,
        bytes_down=4 * engine.layout.size * len(cohort),
    )
    outcome = RoundOutcome(
        round_number,
        before,
        aggregator.delta(),
        aggregator.weights(),
        tuple(aggregator.verdicts),
        metrics,
    )
    for observer in observers:
        observer.end(outcome)
    return outcome


def run_rounds(
    engine: Engine,
    samples: Samples,
    start: Tensor,
    plan: Callable[[int], Sequence[ClientWork]],
    training: LocalTraining,
    *,
    rounds: int,
    seed: Seed,
    observers: Sequence[RoundObserver] = (),
) -> Iterator[RoundOutcome]:
    """A federation: ``rounds`` rounds in a row, each planned by ``plan(round)``."""
    parameters = start
    for number in range(rounds):
        outcome = run_round(
            engine,
            samples,
            parameters,
            plan(number),
            training,
            round_number=number,
            seed=seed,
            observers=observers,
        )
        yield outcome
        parameters = outcome.after


def payload_bytes(sent: Tensor, fraction: float) -> int:
    """4 bytes a value; a partly shared delta also carries a 4-byte index per value."""
    return 4 * len(sent) if fraction == 1.0 else 8 * int(sent.count_nonzero())


def epochs(
    records: np.ndarray, *, local_epochs: int, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """``local_epochs`` shuffled passes over a client's records, in batches."""
    batches = []
    for _ in range(local_epochs):
        order = rng.permutation(records)
        batches += [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return batches


def cohort_of(participants: int, cohort: int | None, rng: np.random.Generator) -> list[int]:
    """The clients of one round: all of them, or ``cohort`` drawn without replacement."""
    if cohort is None or cohort >= participants:
        return list(range(participants))
    return sorted(int(c) for c in rng.choice(participants, cohort, replace=False))
