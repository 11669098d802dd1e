"""What the adversary owns: auxiliary data, the model, the rules of the federation - and shadows.

A shadow is the delta that a client *would* send if it held a batch of the adversary's own records:
the adversary knows the global parameters of the round, the learning rate and the sharing rule, so
it can play any client with records whose property it knows.

Shadows depend on the parameters of a round, not on how many clients send or which share of a delta:
an adversary of several federations at the same parameters computes them once (:meth:`.among`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.answers import scores_of
from privaudit.attack.latest import LatestRound
from privaudit.attack.rows import fit, gathered, in_file, let_go
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

HALF = 2
"""How often what a client draws for a round, of either kind, fits at least into a half of the
adversary's records."""

AT_ONCE = 1 << 22
"""Numbers of aggregates that are put together at a time."""

MOST_SHADOWS = 10_000
"""Of a kind and round: more than that is a slip of the keyboard."""


@dataclass(frozen=True, eq=False)
class AuxiliaryData:
    """The adversary's records: N inputs and labels, and the property of each.

    ``present`` is [N] int8: 1 with the property, 0 without, -1 not known. ``groups`` is [N] int64,
    the writer or author of each record, or None: the adversary knows whose records it holds.
    """

    samples: Samples
    present: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class ShadowRound:
    """Shadow deltas at one round's global parameters, each as a client would have sent it.

    Attributes:
        present: [n, P] deltas of batches with the property.
        absent: [n, P] deltas of batches without it.
        bystanders: [n, P] deltas of batches as the other honest clients draw them (``absent``
            itself when they hold nothing with the property).
        contributors: honest deltas summed in the observation that goes with this round.
        halves: [n] 0 or 1, the same for all three: shadows of different halves share no record (nor
            group, where there are enough of them) in any round, so that what is learned on one half
            can be tested on the other; None where the adversary holds too few records to split.
        persistent: the property is there in all observations of a trace, in none, or in those of a
            stretch; then what their mean says about the property must not be taken out.
        draws: how often what a client draws for a round fits into the adversary's records with the
            property, or into those without, whichever are fewer.
    """

    present: Tensor
    absent: Tensor
    bystanders: Tensor
    contributors: int
    halves: np.ndarray | None = None
    persistent: bool = False
    draws: float = math.inf

    def aggregates(self, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """Labelled stand-ins for the observed signal: [2n, P] sums, and [2n] bool.

        One per shadow of each kind, with ``contributors - 1`` bystanders drawn from the pool added
        to it: without replacement where the pool is large enough. Sums are linear, so one pool of
        shadows serves every number of participants. For ``contributors == 1`` these are the shadows
        themselves.
        """
        return self._sums(self._drawn(rng), slice(None)), self._labels

    def aggregates_seen_by(
        self, look: Callable[[Tensor, Layout], Tensor], layout: Layout, rng: np.random.Generator
    ) -> tuple[Tensor, np.ndarray]:
        """What ``look`` says of the aggregates and their layout: [2n, F], and [2n] bool.

        It is shown some aggregates and some tensors of the model at a time, of a large tensor some
        rows, and what it says is put together: nothing of the size of all aggregates is made. So it
        has to look at each aggregate alone, and must not write: others look at the same ones.
        """
        drawn, parts = self._drawn(rng), []
        most = max(1, AT_ONCE // len(self._labels))
        for start, stop, part in layout.parts(most):
            rows = slice(start, stop)
            # Where nothing is added to them, shadows are looked at where they lie.
            alone = [kind[:, rows] for kind in (self.present, self.absent)]
            sums = alone if drawn is None else [self._sums(drawn, rows)]
            parts.append(torch.cat([look(some, part) for some in sums]))
            for kind in (self.present, self.absent, self.bystanders):
                let_go(kind)
        return torch.cat(parts, 1), self._labels

    @property
    def _labels(self) -> np.ndarray:
        return np.arange(len(self.present) + len(self.absent)) < len(self.present)

    def _drawn(self, rng: np.random.Generator) -> Tensor | None:
        """[2n, pool] how often each bystander is in each aggregate; None: there are none."""
        count = self.contributors - 1
        if count < 1:
            return None
        pool = len(self.bystanders)
        weights = np.zeros((len(self._labels), pool), dtype=np.float32)
        own = np.concatenate([np.full(len(self.present), -1), np.arange(len(self.absent))])
        for row, taken in zip(weights, own, strict=True):
            # A bystander must not be the very delta it is added to.
            free = (
                np.flatnonzero(np.arange(pool) != taken) if self._shares_pool else np.arange(pool)
            )
            np.add.at(row, rng.choice(free, count, replace=count > len(free)), 1.0)
        return torch.from_numpy(weights)

    def _sums(self, drawn: Tensor | None, part: slice) -> Tensor:
        """[2n, B] some coordinates of the aggregates."""
        target = torch.cat([self.present[:, part], self.absent[:, part]])
        return target if drawn is None else target + drawn @ self.bystanders[:, part]

    def seen_through(self, view: Callable[[Tensor], Tensor]) -> ShadowRound:
        """The round with a linear view of its shadows, [n, P] to [n, D].

        Aggregates of the views are views of the aggregates, at the cost of D numbers instead of P.
        Of a large model the view is shown one shadow at a time.
        """
        present, absent = _through(view, self.present), _through(view, self.absent)
        shared = self.bystanders is self.absent
        bystanders = absent if shared else _through(view, self.bystanders)
        return replace(self, present=present, absent=absent, bystanders=bystanders)

    @property
    def _shares_pool(self) -> bool:
        return self.bystanders is self.absent and len(self.absent) > 1


def _through(view: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    if not in_file(rows):
        return view(rows)
    parts = []
    for row in rows.split(1):
        parts.append(view(row))
        let_go(rows)
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class Adversary:
    """Everything an attack is given besides the observations.

    Attributes:
        engine: the model of the federation.
        auxiliary: the adversary's own records.
        rules: of the federation.
        shadows: shadow batches of each kind per round, at least 2.
        seed: the adversary's stream.
    """

    engine: Engine
    auxiliary: AuxiliaryData
    rules: Rules
    shadows: int
    seed: Seed
    _work: LatestRound[tuple[str, Transforms, int]] = field(default_factory=LatestRound, repr=False)

    @property
    def layout(self) -> Layout:
        """How the parameters lie in the vectors."""
        return self.engine.layout

    def checked(self, answer: object, rounds: int) -> list[float]:
        """An attack's scores, one per round (:func:`.answers.scores_of`)."""
        return scores_of(answer, rounds)

    def prepare(self, observation: Observation) -> None:
        """What the model computes of a round for every attack."""
        self.shadow(observation)

    def among(self, rules: Rules) -> Adversary:
        """The same adversary in a federation of other rules: other participants, or what is sent.

        Both share the work on a round that has the same number and parameters for both.
        """
        assert _trained_by(rules) == _trained_by(self.rules), "their shadows are other ones"
        return replace(self, rules=rules)

    def shadow(self, observation: Observation) -> ShadowRound:
        """Shadows at the global parameters of this round."""
        present = self._sent(observation, "present", self.rules.property_share)
        absent = bystanders = self._sent(observation, "absent", 0.0)
        if self.rules.others == "natural" and observation.contributors > 1:
            bystanders = self._sent(observation, "bystander", None)
        halves = None if self._halves is None else np.arange(self.shadows) % 2
        fewest = min(np.sum(self.auxiliary.present == value) for value in (0, 1))
        return ShadowRound(
            present,
            absent,
            bystanders,
            observation.contributors,
            halves,
            self.rules.persistent,
            float(fewest / self._drawn),
        )

    def _sent(self, observation: Observation, kind: str, share: float | None) -> Tensor:
        """[n, P] shadow deltas of one kind as a client would have sent them.

        With their part of what the server does to the sum that is observed; it does nothing to a
        single delta that it looks at itself.
        """
        known, transforms = self._work.at(observation), self.rules.transforms
        summed = 0 if observation.target is not None else observation.contributors
        if not any(step.at_server for step in transforms.steps):
            summed = 0
        way = (kind, transforms, summed)
        if way in known:
            return known[way]
        seed = self.seed.child("shadow", kind, observation.round)
        plain = (kind, transforms.of_training, 0)
        if plain not in known:
            known[plain] = self._deltas(observation, share, seed)
        if way != plain:
            told = observation.told

            def sent() -> Iterator[Tensor]:
                for i, delta in enumerate(known[plain]):
                    at = seed.child("sent", i)
                    one = transforms.apply(delta, self.layout, at, told=told)
                    if summed:
                        part = at.child("sum", summed)
                        one = transforms.stand_in(
                            one, self.layout, part, contributors=summed, told=told
                        )
                    yield one
                    let_go(known[plain])

            known[way] = gathered(sent(), self.shadows, self.layout.size)
        return known[way]

    def _deltas(self, observation: Observation, share: float | None, seed: Seed) -> Tensor:
        """[n, P] shadow deltas before clipping, noise and sharing; ``share`` None: any records."""
        rng = seed.generator("draw")
        records = [
            draw_batch(share, self._drawn, self._pools[i % 2], rng) for i in range(self.shadows)
        ]
        engine = self.engine.under(self.rules.transforms.in_training)
        with engine.starting_from(observation.buffers_before):
            return self._trained(engine, observation, records, seed)

    def _trained(
        self, engine: Engine, observation: Observation, records: list[np.ndarray], seed: Seed
    ) -> Tensor:
        """[n, P] what clients make of these records, one row each."""
        if self.rules.local_steps == 1:
            return self._stepped(engine, observation, records, seed)
        step = self.rules.batch_size
        updates = engine.train_clients(
            observation.before,
            self.auxiliary.samples,
            [[r[i : i + step] for i in range(0, self._drawn, step)] for r in records],
            self.rules.local_rule,
            [seed.child("trained", i) for i in range(self.shadows)],
            observation.number,
        )
        return gathered((update.delta for update in updates), self.shadows, self.layout.size)

    def _stepped(
        self, engine: Engine, observation: Observation, records: list[np.ndarray], seed: Seed
    ) -> Tensor:
        """The same where each has one batch: all at once, of a large model one after the other."""

        def of(some: list[np.ndarray], seed: Seed) -> Tensor:
            own, rule = self.auxiliary.samples, self.rules.local_rule
            return engine.single_steps(
                observation.before, own, some, rule, seed, observation.number
            )

        if fit(len(records), self.layout.size):
            return of(records, seed)
        alone = (of([r], seed.child("alone", i))[0] for i, r in enumerate(records))
        return gathered(alone, self.shadows, self.layout.size)

    @property
    def _drawn(self) -> int:
        """Records that a client draws for a round."""
        return self.rules.batch_size * self.rules.local_steps

    @cached_property
    def _pools(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What shadows with an even and with an odd number draw from.

        Raises:
            UserError: the adversary holds records of one kind only.
        """
        present, halves = self.auxiliary.present, self._halves
        for value, what in ((1, "with"), (0, "without")):
            if not (present == value).any():
                raise UserError(
                    f"none of the adversary's {len(present)} records is {what} the property",
                    where="auxiliary",
                    remedy="it learns from records of both kinds: give some of either",
                )
        chosen = [np.ones(len(present), bool)] * 2 if halves is None else [halves == 0, halves == 1]
        pools = [
            {
                "present": np.flatnonzero(half & (present == 1)),
                "absent": np.flatnonzero(half & (present == 0)),
                "all": np.flatnonzero(half),
            }
            for half in chosen
        ]
        return pools[0], pools[1]

    @cached_property
    def _halves(self) -> np.ndarray | None:
        """[N] 0 or 1; None unless each half holds what is drawn :data:`HALF` times, of either kind.

        Of fewer records all draws are nearly the same: a half teaches little, and says nothing of
        the other. Whole groups where that does, else records: the records of one group are more
        alike than those of two, but records that both halves share are the very same.
        """
        present, groups = self.auxiliary.present, self.auxiliary.groups
        for units in (groups, np.arange(len(present))):
            if units is None:
                continue
            halves = split_units(units, present, self.seed.generator("halves"))
            held = [np.sum((halves == h) & (present == v)) for h in (0, 1) for v in (0, 1)]
            if min(held) >= HALF * self._drawn:
                return halves
        return None


def _trained_by(rules: Rules) -> dict[str, Any]:
    """The rules that shadows depend on before anything is sent."""
    sent = {"participants", "cohort", "weights", "server", "sharing_rule", "shared_fraction"}
    return rules.model_dump(exclude=sent | {"clip_norm", "noise", "norm_bound", "defences"})


def split_units(units: np.ndarray, present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[N] half of each record: whole units, with and without the property dealt in turn."""
    names, of = np.unique(units, return_inverse=True)
    share = np.bincount(of, weights=present == 1) / np.bincount(of)
    order = rng.permutation(len(names))
    order = order[np.argsort(share[order], kind="stable")]
    half = np.empty(len(names), dtype=np.int64)
    half[order] = np.arange(len(names)) % 2
    dealt: np.ndarray = half[of]
    return dealt


def draw_batch(
    share: float | None, size: int, pools: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """[size] of the records in ``pools`` (``present``, ``absent``, ``all``).

    ``share`` of them have the property; None: any records.
    """
    if share is None:
        return _sample(pools["all"], size, rng)
    with_property = round(share * size)
    chosen = [
        _sample(pools["present"], with_property, rng),
        _sample(pools["absent"], size - with_property, rng),
    ]
    return rng.permutation(np.concatenate(chosen))


def _sample(pool: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(pool, size, replace=size > len(pool))
