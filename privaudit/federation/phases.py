"""The two phases of a federation run: ordinary training, then the audited rounds.

Both run the same round (:mod:`privaudit.federation.rounds`); they differ only in who draws what.
Audited rounds either follow each other in a federation of their own (:func:`audited`), or are set
one by one beside the rounds of a federation that goes on as usual (:func:`natural_work`): what
clients would send at its parameters if the target held such a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from privaudit.engine.engine import Engine, Samples
from privaudit.federation.partition import ADVERSARY, Partition
from privaudit.federation.rounds import (
    ClientWork,
    LocalTraining,
    RoundObserver,
    RoundOutcome,
    cohort_of,
    epochs,
    poisson_cohort,
    run_rounds,
)
from privaudit.federation.schedule import (
    Others,
    PropertyPools,
    as_batches,
    draw,
    draw_any,
    targets_of,
)
from privaudit.randomness import Seed


@dataclass(frozen=True)
class TrainingPhase:
    """Ordinary FedAvg or FedSGD on everybody's records.

    ``cohort`` None means all clients; with the sampler ``poisson`` each takes part by itself, as
    many on average. ``local_epochs`` is ignored by ``fedsgd``, where each client takes one step on
    one batch drawn from its records.
    """

    protocol: str
    rounds: int
    cohort: int | None
    local_epochs: int
    batch_size: int
    training: LocalTraining
    sampler: Literal["fixed", "poisson"] = "fixed"


@dataclass(frozen=True)
class AuditedPhase:
    """Rounds in which the target's records hold the property or not.

    With ``rotate`` the target of a round is one honest client in turn (:func:`.targets_of`).
    """

    participants: int
    cohort: int | None
    rounds: int
    local_steps: int
    batch_size: int
    property_share: float
    others: Others
    training: LocalTraining
    rotate: bool = False

    def target(self, number: int) -> int:
        """The target of round ``number``."""
        rounds = targets_of(number + 1, self.participants, rotate=self.rotate)
        return int(rounds[number])


def train(
    engine: Engine,
    samples: Samples,
    partition: Partition,
    phase: TrainingPhase,
    *,
    start: Tensor,
    seed: Seed,
    observers: Sequence[RoundObserver] = (),
) -> Iterator[RoundOutcome]:
    """The rounds of ordinary training, from the parameters ``start`` [P]."""

    def plan(number: int) -> list[ClientWork]:
        rng = seed.generator("cohort", number)
        draw_cohort = poisson_cohort if phase.sampler == "poisson" else cohort_of
        chosen = draw_cohort(len(partition.clients), phase.cohort, rng)
        return [ClientWork(client, batches(client, number)) for client in chosen]

    def batches(client: int, number: int) -> list[np.ndarray]:
        rng = seed.generator("batches", client, number)
        records = partition.clients[client]
        if phase.protocol == "fedsgd":
            return [rng.choice(records, min(phase.batch_size, len(records)), replace=False)]
        return epochs(
            records, local_epochs=phase.local_epochs, batch_size=phase.batch_size, rng=rng
        )

    return run_rounds(
        engine,
        samples,
        start,
        plan,
        phase.training,
        rounds=phase.rounds,
        seed=seed,
        observers=observers,
    )


def audited(
    engine: Engine,
    samples: Samples,
    pools: PropertyPools,
    present: np.ndarray,
    phase: AuditedPhase,
    *,
    start: Tensor,
    seed: Seed,
    observers: Sequence[RoundObserver] = (),
) -> Iterator[RoundOutcome]:
    """The audited rounds of a federation of its own; the model moves by what is sent."""
    return run_rounds(
        engine,
        samples,
        start,
        lambda number: audited_work(
            pools, bool(present[number]), phase, number, seed, target_seed=seed, known={}
        ),
        phase.training,
        rounds=phase.rounds,
        seed=seed,
        observers=observers,
    )


def audited_work(
    pools: PropertyPools,
    present: bool,
    phase: AuditedPhase,
    number: int,
    seed: Seed,
    *,
    target_seed: Seed,
    known: dict[int, ClientWork],
) -> list[ClientWork]:
    """Who trains on what in audited round ``number``; adversary and target are in every cohort.

    Args:
        seed: what clients draw from; with the same seed, those of a smaller federation draw the
            same batches as in a larger one.
        target_seed: what the target, and the choice of the cohort, draw from.
        known: client -> work of this round that was drawn for another federation, and is not drawn
            (nor trained on) again. What is drawn here is added, but for the target's.
    """
    clients, target = list(range(phase.participants)), phase.target(number)
    if phase.cohort is not None and phase.cohort < phase.participants:
        bystanders = cohort_of(
            phase.participants - 2,
            max(0, phase.cohort - 2),
            target_seed.generator("cohort", number),
        )
        rest = [client for client in clients if client not in (ADVERSARY, target)]
        clients = sorted([ADVERSARY, target, *(rest[place] for place in bystanders)])

    def drawn(client: int) -> ClientWork:
        own = target_seed if client == target else seed
        records = draw(
            pools,
            client,
            present,
            size=phase.batch_size * phase.local_steps,
            share=phase.property_share,
            others=phase.others,
            rng=own.generator("draw", client, number),
            target=target,
        )
        return ClientWork(client, as_batches(records, phase.batch_size))

    for client in clients:
        if client != target and client not in known:
            known[client] = drawn(client)
    return [drawn(target) if client == target else known[client] for client in clients]


def natural_work(
    partition: Partition, phase: AuditedPhase, number: int, seed: Seed
) -> list[ClientWork]:
    """Who trains on what in the federation that goes on as usual: everybody on any own records.

    ``phase`` gives cohort, batches and steps; its ``participants`` are all clients.
    """
    chosen = cohort_of(len(partition.clients), phase.cohort, seed.generator("cohort", number))
    size = phase.batch_size * phase.local_steps

    def work(client: int) -> ClientWork:
        rng = seed.generator("draw", client, number)
        return ClientWork(
            client, as_batches(draw_any(partition.clients[client], size, rng), phase.batch_size)
        )

    return [work(client) for client in chosen]
