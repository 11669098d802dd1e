"""Is a property that stays there? One trace, set beside federations the adversary makes up.

Where a property is there in every round or in none, a trace has one answer, and the zero of a score
says nothing (:mod:`privaudit.attack.scoring`). So the adversary plays federations at the parameters
of the very rounds it saw, of records it did not learn from: in each every honest client holds
records of its own, and the target's batches have the property throughout, or never. The sum of the
attack's scores over the trace is then one more value beside those of both kinds.

What a client holds is drawn with replacement from one half of the adversary's N records, N / 3 of
them. So the means of two made-up holdings differ by as much as the real target's N records may
differ from that half: 1 / N + 1 / (N / 2) = 1 / (N / 3). A target that holds fewer records than the
adversary differs by more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import AuxiliaryData, draw_batch, split_units
from privaudit.engine.engine import Engine, Samples
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

LEAST = 19
"""Federations of a kind: with fewer no p-value is at or below 5 %."""

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Standing:
    """Where a trace stands among made-up federations with the property and without.

    Attributes:
        total: sum of the scores over the rounds of the trace.
        without: the same of each federation without the property.
        present: of each with it.
    """

    total: float
    without: tuple[float, ...]
    present: tuple[float, ...]

    @property
    def p_without(self) -> float:
        """One-sided p-value of "it is not there"."""
        return (1 + sum(s >= self.total for s in self.without)) / (1 + len(self.without))

    @property
    def p_present(self) -> float:
        """One-sided p-value of "it is there"."""
        return (1 + sum(s <= self.total for s in self.present)) / (1 + len(self.present))

    @property
    def answer(self) -> Literal["yes", "no", "cannot say"]:
        """What one of the two p-values excludes, if the other does not."""
        there, absent = self.p_without <= SIGNIFICANT, self.p_present <= SIGNIFICANT
        if there == absent:
            return "cannot say"
        return "yes" if there else "no"


def halves_of(own: AuxiliaryData, batch_size: int, seed: Seed) -> tuple[AuxiliaryData, ...]:
    """The adversary's records to learn from, and those to make federations of: whole groups.

    Raises:
        UserError: a half has no batch with, or none without the property.
    """
    units = np.arange(len(own.present)) if own.groups is None else own.groups
    half = split_units(units, own.present, seed.generator("reference"))
    for value, what in ((1, "with"), (0, "without")):
        held = min(int(np.sum((half == h) & (own.present == value))) for h in (0, 1))
        if held < batch_size:
            raise UserError(
                f"a half of the records has {held} {what} the property, one batch needs "
                f"{batch_size}: too few to make up federations beside those that are learned from",
                where="--auxiliary",
                remedy="give more records, or --references 0 for scores without an answer",
            )
    return tuple(_taken(own, np.flatnonzero(half == h)) for h in (0, 1))


@dataclass(frozen=True, eq=False)
class MadeUp:
    """What the adversary would have seen of one made-up federation, round by round.

    Attributes:
        seen: the rounds of the real one.
        engine: its model.
        own: records that every client of the made-up one draws from.
        rules: of the federation.
        seed: of this federation: with and without the property its bystanders are the same.
        present: whether its target has the property.
    """

    seen: Iterable[Observation]
    engine: Engine
    own: AuxiliaryData
    rules: Rules
    seed: Seed
    present: bool

    def __iter__(self) -> Iterator[Observation]:
        holdings: dict[int, AuxiliaryData] = {}
        for observation in self.seen:
            for client in range(observation.contributors):
                if client not in holdings:
                    holdings[client] = _holdings(self.own, self.seed.child("client", client))
            yield with_signal(observation, self._signal(observation, holdings))

    def _signal(self, observation: Observation, holdings: dict[int, AuxiliaryData]) -> Tensor:
        total = torch.zeros_like(observation.before)
        for client in range(observation.contributors):
            seed = self.seed.child("round", observation.round, client)
            share: float | None = None if self.rules.others == "natural" else 0.0
            if client == 0:  # the target
                share = self.rules.property_share if self.present else 0.0
            total += self._delta(observation, holdings[client], share, seed)
        return total

    def _delta(
        self, observation: Observation, own: AuxiliaryData, share: float | None, seed: Seed
    ) -> Tensor:
        rules = self.rules
        pools = {
            "present": np.flatnonzero(own.present == 1),
            "absent": np.flatnonzero(own.present == 0),
            "all": np.arange(len(own.present)),
        }
        size = rules.batch_size * rules.local_steps
        records = draw_batch(share, size, pools, seed.generator("draw"))
        delta = self.engine.train(
            observation.before,
            own.samples,
            [records[i : i + rules.batch_size] for i in range(0, size, rules.batch_size)],
            lr=rules.lr,
            momentum=rules.momentum,
            seed=seed,
        ).delta
        return rules.transforms.apply(delta, self.engine.layout, seed.child("sent"))


def with_signal(observation: Observation, signal: Tensor) -> Observation:
    """The same round, had the honest clients sent this."""
    if observation.target is not None:
        deltas = observation.client_deltas | {observation.target: signal}
        return replace(observation, client_deltas=deltas)
    weight = observation.own_weight
    scale = weight if weight > 0 else 1 / observation.participants
    step = observation.global_delta if observation.step is None else observation.step
    mean = weight * observation.own_delta + signal * scale
    for client, delta in observation.client_deltas.items():
        mean = mean + observation.client_weights[client] * delta
    return replace(observation, global_delta=mean, step=step)


def _holdings(own: AuxiliaryData, seed: Seed) -> AuxiliaryData:
    """What one client holds: groups (or records) of each kind, drawn with replacement.

    ``own`` is half of what the adversary has, so N / 3 is two thirds of it.
    """
    rng = seed.generator("holdings")
    chosen = []
    for value in (1, 0, -1):
        records = np.flatnonzero(own.present == value)
        if not len(records):
            continue
        units = records if own.groups is None else own.groups[records]
        names, of = np.unique(units, return_inverse=True)
        drawn = rng.choice(len(names), max(1, round(2 * len(names) / 3)))
        chosen += [records[of == unit] for unit in drawn]
    return _taken(own, np.concatenate(chosen))


def _taken(own: AuxiliaryData, records: np.ndarray) -> AuxiliaryData:
    samples = Samples(own.samples.inputs[records], own.samples.labels[records])
    groups = None if own.groups is None else own.groups[records]
    return AuxiliaryData(samples, own.present[records], groups)


def made_up(
    seen: Iterable[Observation],
    engine: Engine,
    own: AuxiliaryData,
    rules: Rules,
    seed: Seed,
    count: int,
) -> Sequence[tuple[MadeUp, MadeUp]]:
    """``count`` federations, each without and with the property."""
    return [
        (
            MadeUp(seen, engine, own, rules, seed.child("federation", number), False),
            MadeUp(seen, engine, own, rules, seed.child("federation", number), True),
        )
        for number in range(count)
    ]
