"""One federated round, for any protocol: clients train, transform and send; the server averages.

FedSGD is the special case of one batch and no momentum (McMahan et al., AISTATS 2017, section 2);
the global model moves by the average delta unless the server has an optimiser (:mod:`.server`),
whose moments are remembered with the rest (:attr:`Sending.memory`). What clients make of their
batches can be sent in several ways, and by several cohorts, at once (:class:`Sending`): they train
once for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine, LocalUpdate, Samples
from privaudit.engine.local_rule import PLAIN, LocalOptions, LocalRule
from privaudit.federation.aggregation import Aggregator, Submission, Verdict
from privaudit.federation.server import AVERAGE, ServerOptions, server_step
from privaudit.randomness import Seed

ProtocolName = Literal["fedavg", "fedsgd"]


@dataclass(frozen=True)
class LocalTraining:
    """How a client turns its batches of a round into a delta, and what becomes of deltas.

    ``expected``: clients that an average is over where it is over a number fixed beforehand
    (:attr:`.Transforms.averages_equally`); None = those of the round. ``local`` and ``epochs`` are
    as in :class:`.LocalRule`.
    """

    lr: float
    momentum: float = 0.0
    transforms: Transforms = Transforms()
    norm_bound: float | None = None
    expected: int | None = None
    local: LocalOptions = PLAIN
    epochs: int = 1
    server: ServerOptions = AVERAGE

    @property
    def rule(self) -> LocalRule:
        """How a client trains."""
        return LocalRule(self.lr, self.momentum, self.local, self.epochs)


@dataclass(frozen=True, eq=False)
class ClientWork:
    """The batches one client trains on in one round, as indices into the records.

    The same object in the work of several sendings is trained on once.
    """

    client: int
    batches: Sequence[np.ndarray]


@dataclass(frozen=True)
class RoundMetrics:
    """Of one round: means over the cohort, wall seconds, bytes of payload in both directions.

    Means are 0 where nobody took part, as may happen where each client takes part by itself.
    """

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
    """What the server knows after a round; ``weights`` and ``verdicts`` by client.

    ``step`` [P] is what the global model moves by; None = by ``delta``, the averaged delta.
    ``told`` is what the server told everybody when the round began, besides the parameters.
    ``buffers`` [B] is what it hands out beside the next ones; None where clients share no buffers.
    """

    round: int
    before: Tensor
    delta: Tensor
    weights: dict[int, float]
    verdicts: tuple[Verdict, ...]
    metrics: RoundMetrics
    step: Tensor | None = None
    told: Mapping[str, float] = field(default_factory=dict)
    buffers: Tensor | None = None

    @property
    def after(self) -> Tensor:
        """The next global parameters."""
        return self.before + (self.delta if self.step is None else self.step)


class RoundObserver(Protocol):
    """Somebody who watches rounds go by: the tap of an adversary, the reward ledger."""

    def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None:
        """A round opens with these global parameters."""

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """A delta arrived and was verified."""

    def end(self, outcome: RoundOutcome) -> None:
        """The round is over."""


class Active(Protocol):
    """A client that sends something else than what ordinary training gives."""

    def send(self, number: int, before: Tensor, work: ClientWork, honest: LocalUpdate) -> Tensor:
        """The [P] delta of a round, before the defences that everybody applies.

        Args:
            number: of the round.
            before: [P] the global parameters.
            work: its batches of the round.
            honest: what it would send as an ordinary client; it is not to be changed.
        """


@dataclass(frozen=True)
class Sending:
    """Who sends what was trained, in which way, and who watches it.

    Attributes:
        work: one entry per client of the cohort.
        training: what clients do to a delta (``transforms``) and what the server refuses.
        observers: told of the opening, each submission and the end, in that order.
        active: client -> who decides what it sends; all others send what they trained.
        memory: what clients and server keep from round to round, for defences that need it; None
            where rounds do not follow each other.
    """

    work: Sequence[ClientWork]
    training: LocalTraining
    observers: Sequence[RoundObserver] = ()
    active: Mapping[int, Active] = field(default_factory=dict)
    memory: dict[str, dict[str, Any]] | None = None


def run_round(
    engine: Engine,
    samples: Samples,
    before: Tensor,
    work: Sequence[ClientWork],
    training: LocalTraining,
    *,
    round_number: int,
    seed: Seed,
    observers: Sequence[RoundObserver] = (),
    memory: dict[str, dict[str, Any]] | None = None,
    buffers: Tensor | None = None,
) -> RoundOutcome:
    """Run one round from the global parameters ``before`` [P].

    Args:
        work: one entry per client of the cohort.
        seed: the stream of this federation; each client and round draws from its own child.
        observers: told of the opening, each submission and the end, in that order.
        memory: of clients and server (:attr:`Sending.memory`).
        buffers: [B] shared ones that clients start from; None = those of the model.
    """
    sendings = [Sending(work, training, observers, memory=memory)]
    (outcome,) = run_sendings(
        engine,
        samples,
        before,
        sendings,
        round_number=round_number,
        seed=seed,
        buffers=buffers,
    )
    return outcome


def run_sendings(
    engine: Engine,
    samples: Samples,
    before: Tensor,
    sendings: Sequence[Sending],
    *,
    round_number: int,
    seed: Seed,
    step: Tensor | None = None,
    buffers: Tensor | None = None,
) -> list[RoundOutcome]:
    """Batches trained on once and sent in several ways: one outcome each, in order.

    Once for each way of training, where a defence is one (:attr:`.Transforms.in_training`).

    Deltas are handed on client by client, so memory does not grow with the cohort.

    Args:
        sendings: at least one; all with the same local training.
        seed: each client and round draws from its own child, whatever is sent.
        step: [P] what the global model moves by, whatever is sent; None = by what was sent.
        buffers: [B] shared ones that clients start from; None = those of the model.
    """
    started = time.perf_counter()
    at_server = seed.child("server", "round", round_number)
    servers = [_Server(engine, before, sending, round_number, at_server) for sending in sendings]
    rule = sendings[0].training.rule
    assert all(sending.training.rule == rule for sending in sendings)
    for treatment in dict.fromkeys(server.treatment for server in servers):
        receivers: dict[ClientWork, list[_Server]] = {}
        for server in servers:
            for item in server.cohort if server.treatment == treatment else ():
                receivers.setdefault(item, []).append(server)
        jobs = sorted(receivers, key=lambda item: item.client)
        seeds = [seed.child("client", item.client, "round", round_number) for item in jobs]
        batches = [item.batches for item in jobs]
        trained = engine.under(treatment)
        updates = trained.train_clients(before, samples, batches, rule, seeds, round_number)
        with trained.starting_from(buffers):
            for item, own, update in zip(jobs, seeds, updates, strict=True):
                for server in receivers[item]:
                    server.receive(item, update, own)
    return [server.close(time.perf_counter() - started, step, buffers) for server in servers]


class _Server:
    """Collects what the clients of one cohort send in one way."""

    def __init__(
        self,
        engine: Engine,
        before: Tensor,
        sending: Sending,
        round_number: int,
        seed: Seed,
    ) -> None:
        self.cohort = sorted(sending.work, key=lambda item: item.client)
        self._before, self._layout, self._round = before, engine.layout, round_number
        self._training, self._observers = sending.training, sending.observers
        self._active = sending.active
        self._seed, self._memory = seed, sending.memory
        training, transforms = sending.training, sending.training.transforms
        self.treatment = transforms.in_training
        self._clients = training.expected or len(self.cohort)
        self._aggregator = Aggregator(
            engine.layout.size,
            training.norm_bound,
            self._clients if transforms.averages_equally else None,
        )
        self._told = transforms.tells(self._remembered("server") or {})
        self._notes: dict[str, list[float]] = {}
        self._bytes_up = 0
        self._losses: list[float] = []
        self._accuracies: list[float] = []
        for observer in self._observers:
            observer.begin(round_number, before, [item.client for item in self.cohort])

    def receive(self, work: ClientWork, update: LocalUpdate, seed: Seed) -> None:
        """The client sends its delta as this way of sending has it; the server verifies it."""
        transforms, client, delta = self._training.transforms, work.client, update.delta
        if client in self._active:
            delta = self._active[client].send(self._round, self._before, work, update)
        sent = transforms.apply(
            delta,
            self._layout,
            seed,
            told=self._told,
            memory=self._remembered(str(client)),
            notes=self._notes,
        )
        submission = Submission(client, sent, update.samples, update.buffers)
        verdict = self._aggregator.add(submission)
        for observer in self._observers:
            observer.submitted(submission, verdict)
        self._bytes_up += transforms.payload(sent) + _payload(update.buffers)
        self._losses.append(update.loss)
        self._accuracies.append(update.accuracy)

    def close(self, seconds: float, step: Tensor | None, buffers: Tensor | None) -> RoundOutcome:
        """Average what arrived; shared buffers stay as they were where none did."""
        clients = len(self._aggregator.verdicts)
        delta = self._training.transforms.aggregate(
            self._aggregator.delta(),
            self._layout,
            self._seed,
            clients=self._clients,
            told=self._told,
            memory=self._remembered("server"),
            notes=self._notes,
        )
        averaged = self._aggregator.buffers()
        averaged = buffers if averaged is None else averaged
        metrics = RoundMetrics(
            round=self._round,
            clients=clients,
            accepted=sum(v.accepted for v in self._aggregator.verdicts),
            train_loss=_mean(self._losses),
            train_accuracy=_mean(self._accuracies),
            seconds=seconds,
            bytes_up=self._bytes_up,
            bytes_down=(4 * self._layout.size + _payload(averaged)) * clients,
        )
        if step is None and self._training.server != AVERAGE:
            moments = self._remembered("optimiser")
            step = server_step(self._training.server, delta, {} if moments is None else moments)
        outcome = RoundOutcome(
            self._round,
            self._before,
            delta,
            self._aggregator.weights(),
            tuple(self._aggregator.verdicts),
            metrics,
            step,
            self._told,
            averaged,
        )
        for observer in self._observers:
            observer.end(outcome)
        return outcome

    def _remembered(self, who: str) -> dict[str, Any] | None:
        return None if self._memory is None else self._memory.setdefault(who, {})


def _payload(buffers: Tensor | None) -> int:
    """Bytes of shared buffers."""
    return 0 if buffers is None else 4 * buffers.numel()


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


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
    buffers: Tensor | None = None,
) -> Iterator[RoundOutcome]:
    """A federation: ``rounds`` rounds in a row, each planned by ``plan(round)``.

    ``buffers`` [B] are shared ones to start from; None = those of the model, where it shares any.
    """
    parameters, memory = start, dict[str, dict[str, Any]]()
    buffers = engine.initial_buffers if buffers is None else buffers
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
            memory=memory,
            buffers=buffers,
        )
        yield outcome
        parameters, buffers = outcome.after, outcome.buffers


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


def poisson_cohort(participants: int, cohort: int | None, rng: np.random.Generator) -> list[int]:
    """Each client by itself, ``cohort`` of them on average; there may be none at all."""
    share = 1.0 if cohort is None else min(1.0, cohort / participants)
    return [int(client) for client in np.flatnonzero(rng.random(participants) < share)]
