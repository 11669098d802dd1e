"""Is a property that stays there? One trace, set beside federations the adversary makes up.

Where a property is there in every round or in none, a trace has one answer, and the zero of a score
says nothing (:mod:`privaudit.attack.scoring`). So the adversary plays federations at the parameters
of the very rounds it saw, of records it did not learn from: in each every honest client holds
records of its own, and the target's batches have the property throughout, or never. The sum of the
attack's scores over the trace is then one more value beside those of both kinds.

Clients hold records of a population that nobody knows. The adversary has a sample of it, here one
half of its records, and takes its mean for everybody's; an error of that mean is in what each of C
honest clients sends, so C times in their sum. Federations made of the half as it is lack it: they
differ too little among each other, and of traces without the property one in six got a "yes" at
K = 5. So each made-up federation first guesses a population: the half, its records (or groups)
weighted at random (D. B. Rubin, The Bayesian Bootstrap, Annals of Statistics 9 (1981)). All its
clients draw what they hold from that guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from scipy.stats import t as student_t
from torch import Tensor

from privaudit.attack.adversary import AuxiliaryData, draw_batch, split_units
from privaudit.attack.latest import LatestRound
from privaudit.engine.engine import Engine
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

LEAST = 19
"""Federations of a kind: with fewer no p-value is at or below 5 %."""

SIGNIFICANT = 0.05

FEWEST_UNITS = 16
"""Records, or groups, of each kind in a half: fewer do not say how much they differ."""

Pools = dict[str, np.ndarray]
"""What a client draws from: records ``present`` and ``absent``, and ``all``."""


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
        """One-sided p-value of "it is not there": how often would such a sum be as high?"""
        return p_as_high(self.total, np.array(self.without))

    @property
    def p_present(self) -> float:
        """One-sided p-value of "it is there": how often would such a sum be as low?"""
        return p_as_high(-self.total, -np.array(self.present))

    @property
    def recognised(self) -> int:
        """How many of the federations with it would themselves be told from those without."""
        without = np.array(self.without)
        return sum(p_as_high(s, without) <= SIGNIFICANT for s in self.present)

    @property
    def answer(self) -> Literal["yes", "no", "cannot say"]:
        """What one of the two p-values excludes, if the other does not."""
        there, absent = self.p_without <= SIGNIFICANT, self.p_present <= SIGNIFICANT
        if there == absent:
            return "cannot say"
        return "yes" if there else "no"


def p_as_high(total: float, others: np.ndarray) -> float:
    """How likely one more value is at or above ``total``: the larger of two p-values.

    By rank, which takes nothing for granted but is coarse, and by Student's t, as of normal values.

    Args:
        total: the value.
        others: [n] values of its kind, at least 2.
    """
    by_rank = float((1 + np.sum(others >= total)) / (1 + len(others)))
    scale = others.std(ddof=1) * np.sqrt(1 + 1 / len(others))
    if not scale > 0:
        return by_rank
    by_size = student_t.sf((total - others.mean()) / scale, len(others) - 1)
    return max(by_rank, float(by_size))


def halves_of(own: AuxiliaryData, batch_size: int, seed: Seed) -> tuple[AuxiliaryData, ...]:
    """The adversary's records to learn from, and those to make federations of: whole groups.

    Raises:
        UserError: a half has no batch with, or none without the property, or of too few groups.
    """
    units = _units(own)
    half = split_units(units, own.present, seed.generator("reference"))
    for value, what in ((1, "with"), (0, "without")):
        of_kind = [(half == h) & (own.present == value) for h in (0, 1)]
        held = min(int(kind.sum()) for kind in of_kind)
        if held < batch_size:
            raise _too_few(f"{held} records {what} the property, one batch needs {batch_size}")
        groups = min(len(np.unique(units[kind])) for kind in of_kind)
        if groups < FEWEST_UNITS:
            of = "records" if own.groups is None else "groups with records"
            raise _too_few(f"{groups} {of} {what} the property, {FEWEST_UNITS} are needed")
    return tuple(_taken(own, np.flatnonzero(half == h)) for h in (0, 1))


def _too_few(what: str) -> UserError:
    return UserError(
        f"a half of the records has {what}: too few to make up federations beside those that are "
        "learned from",
        where="--auxiliary",
        remedy="give more records, or --references 0 for scores without an answer",
    )


def _units(own: AuxiliaryData) -> np.ndarray:
    """[N] what records are drawn as: themselves, or the groups they belong to."""
    return np.arange(len(own.present)) if own.groups is None else own.groups


def units_held(own: AuxiliaryData, records: int | None) -> int:
    """How many units a client has that holds so many records; None: as many as the adversary."""
    count = len(np.unique(_units(own)))
    if records is None:
        return count
    return max(1, round(count * records / len(own.present)))


@dataclass(frozen=True, eq=False)
class Population:
    """A guess of the population that clients hold records of: units with random weights.

    The weights of units of a kind - with the property, without, of both - are Dirichlet. Their mean
    varies as much as the mean of G such units does: as Student's t says, whose variance with G - 1
    degrees of freedom is that of weights of 1 - 4 / G instead of 1.

    Attributes:
        own: the sample, N records.
        order: [N] the records, unit after unit.
        sizes: [G] how many records a unit has.
        kinds: [G] which kind it is of, from 0.
        weights: [G] relative.
    """

    own: AuxiliaryData
    order: np.ndarray
    sizes: np.ndarray
    kinds: np.ndarray
    weights: np.ndarray

    @classmethod
    def guessed(cls, own: AuxiliaryData, rng: np.random.Generator) -> Population:
        """A random one, given the sample."""
        _, of, sizes = np.unique(_units(own), return_inverse=True, return_counts=True)
        has = [np.bincount(of, own.present == value) > 0 for value in (1, 0)]
        _, kinds = np.unique(2 * has[0] + has[1], return_inverse=True)
        alike = np.bincount(kinds)[kinds]
        weights = rng.standard_gamma(np.maximum(1 - 4 / alike, 0.5 / alike))
        return cls(own, np.argsort(of, kind="stable"), sizes, kinds, weights)

    def holding(self, units: int, rng: np.random.Generator) -> Pools:
        """What a client holds that has so many units: at least one of each kind."""
        share = np.bincount(self.kinds, self.weights)
        counts = np.maximum(rng.multinomial(units, share / share.sum()), 1)
        chosen = []
        for kind, count in enumerate(counts):
            weights = np.where(self.kinds == kind, self.weights, 0.0)
            chosen.append(rng.choice(len(weights), count, p=weights / weights.sum()))
        drawn = np.concatenate(chosen)
        sizes = self.sizes[drawn]
        # All records of each: from where a unit begins, as many as it has.
        first = (np.cumsum(self.sizes) - self.sizes)[drawn]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        records = self.order[np.repeat(first, sizes) + within]
        present = self.own.present[records]
        return {"present": records[present == 1], "absent": records[present == 0], "all": records}


@dataclass(frozen=True, eq=False)
class Honest:
    """The honest clients of a made-up federation: what they hold and send. Client 0 is the target.

    Attributes:
        engine: its model.
        own: records that every client of it draws from.
        rules: of the federation.
        held: units, of ``own``, that each client holds.
        seed: of this federation.
    """

    engine: Engine
    own: AuxiliaryData
    rules: Rules
    held: int
    seed: Seed
    _pools: dict[int, Pools] = field(default_factory=dict, repr=False)
    _sent: LatestRound[str] = field(default_factory=LatestRound, repr=False)

    @cached_property
    def population(self) -> Population:
        """What all its clients hold records of."""
        return Population.guessed(self.own, self.seed.generator("population"))

    def sum_at(self, observation: Observation) -> Tensor:
        """[P] of all but the target; the same with the property and without."""
        known = self._sent.at(observation)
        if "sum" not in known:
            share = None if self.rules.others == "natural" else 0.0
            total = torch.zeros_like(observation.before)
            for client in range(1, observation.contributors):
                total += self.delta(observation, client, share)
            known["sum"] = total
        return known["sum"]

    def delta(self, observation: Observation, client: int, share: float | None) -> Tensor:
        """[P] what a client sends whose batch has this share of records with the property."""
        rules, seed = self.rules, self.seed.child("round", observation.round, client)
        if client not in self._pools:
            rng = self.seed.generator("client", client)
            self._pools[client] = self.population.holding(self.held, rng)
        size = rules.batch_size * rules.local_steps
        records = draw_batch(share, size, self._pools[client], seed.generator("draw"))
        engine = self.engine.under(rules.transforms.in_training)
        delta = engine.train(
            observation.before,
            self.own.samples,
            [records[i : i + rules.batch_size] for i in range(0, size, rules.batch_size)],
            rule=rules.local_rule,
            seed=seed,
            number=observation.number,
        ).delta
        sent, layout, told = seed.child("sent"), self.engine.layout, observation.told
        delta = rules.transforms.apply(delta, layout, sent, told=told)
        if observation.target is not None:
            return delta
        parts = observation.contributors
        return rules.transforms.stand_in(delta, layout, sent, contributors=parts, told=told)


@dataclass(frozen=True, eq=False)
class MadeUp:
    """What the adversary would have seen of one made-up federation, round by round.

    Attributes:
        seen: the rounds of the real one.
        honest: its clients.
        present: whether its target has the property.
    """

    seen: Iterable[Observation]
    honest: Honest
    present: bool

    def __iter__(self) -> Iterator[Observation]:
        share = self.honest.rules.property_share if self.present else 0.0
        for observation in self.seen:
            signal = self.honest.delta(observation, 0, share)
            if observation.contributors > 1:
                signal = signal + self.honest.sum_at(observation)
            yield with_signal(observation, signal)


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


def _taken(own: AuxiliaryData, records: np.ndarray) -> AuxiliaryData:
    samples = own.samples.chosen(records)
    groups = None if own.groups is None else own.groups[records]
    return AuxiliaryData(samples, own.present[records], groups)


def made_up(
    seen: Iterable[Observation],
    engine: Engine,
    own: AuxiliaryData,
    rules: Rules,
    seed: Seed,
    count: int,
    *,
    held: int,
) -> Sequence[tuple[MadeUp, MadeUp]]:
    """``count`` federations, each without and with the property; ``held`` units a client."""
    honest = [
        Honest(engine, own, rules, held, seed.child("federation", number))
        for number in range(count)
    ]
    return [(MadeUp(seen, one, False), MadeUp(seen, one, True)) for one in honest]
