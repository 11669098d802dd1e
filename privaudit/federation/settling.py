"""What a ledger publishes of federated rounds: verdicts and pay, of each or of a block at once.

A reward policy is a reward rule (:mod:`.rewards`) and what is done to it, in this order::

    RULE[-reputation][-laplace-S | -gaussian-S][-per-N | -pool-N]

``-reputation``: values are followed slowly (:data:`FOLLOWED`), so that one round says little.
``-laplace-S``, ``-gaussian-S``: noise of that scale (deviation) on every value that is paid by,
which lies in 0..1; of ``samples`` on the binary logarithm of a client's records, drawn once.
``-per-N``: N rounds are settled at once, each is split by itself and then added up.
``-pool-N``: the same, but split once, by the sum of what each client did in them; noise is on that.

Of a block of rounds the ledger shows of each client that it took part, one verdict (accepted, if
any of its deltas was) and what all of them earned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from privaudit.errors import UserError
from privaudit.federation.rewards import (
    MILLION,
    VALUED,
    Delivery,
    rewards,
    round_budget,
    rule_named,
)
from privaudit.randomness import Seed

MOST_ROUNDS = 10_000
"""That are settled at once."""
FOLLOWED = 0.1
"""How much of a reputation is the newest value; the rest is what it was, 0 in the beginning."""
NAME = re.compile(
    r"(?P<rule>.+?)(?P<reputation>-reputation)?"
    r"(?:-(?P<noise>laplace|gaussian)-(?P<scale>\d+(?:\.\d+)?))?"
    r"(?:-(?P<at_once>per|pool)-(?P<block>.*))?"
)


@dataclass(frozen=True)
class RewardPolicy:
    """A reward rule, and what is done to it (see the module).

    Attributes:
        rule: its name.
        reputation: whether values are followed slowly.
        noise: of which kind; None = none.
        scale: of the noise: that of Laplace's, or a deviation.
        pooled: whether a block is split once.
        block: federated rounds that are settled at once.
    """

    rule: str
    reputation: bool = False
    noise: Literal["laplace", "gaussian"] | None = None
    scale: float = 0.0
    pooled: bool = False
    block: int = 1


@dataclass(frozen=True)
class Settlement:
    """What everybody can read of some federated rounds in a row.

    Attributes:
        rounds: how many they are.
        budget: wei that they could pay.
        outcomes: client -> the contract's code for its verdict, for all who took part.
        amounts: client -> wei, for the same.
    """

    rounds: int
    budget: int
    outcomes: dict[int, int]
    amounts: dict[int, int]


def policy_named(name: str) -> RewardPolicy:
    """The reward policy with this name.

    Raises:
        UserError: there is no such rule, N is no number of rounds, or there is nothing that noise
            or a reputation could be of.
    """
    found = NAME.fullmatch(name)
    rule = found["rule"] if found else name
    rule_named(rule)
    assert found
    at_once, block, noise = found["at_once"], found["block"], found["noise"]
    if at_once and not (re.fullmatch(r"[1-9]\d{0,4}", block) and 2 <= int(block) <= MOST_ROUNDS):
        raise UserError(
            f"'{name}': settled per 2 to {MOST_ROUNDS:,} rounds, as in {rule}-{at_once}-10"
        )
    if found["reputation"] and rule not in VALUED:
        raise UserError(f"'{name}': {rule} pays by no values, and knows no reputation")
    if (noise or at_once == "pool") and rule not in VALUED | {"samples"}:
        raise UserError(f"'{name}': {rule} pays by no numbers that could be summed up or blurred")
    if noise and float(found["scale"]) == 0:
        raise UserError(f"'{name}': noise needs a scale above 0, as in {rule}-{noise}-0.5")
    return RewardPolicy(
        rule,
        reputation=bool(found["reputation"]),
        noise=noise,  # type: ignore[arg-type]
        scale=float(found["scale"] or 0.0),
        pooled=at_once == "pool",
        block=int(block or 1),
    )


def settle(rule: str, budget: int | None, rounds: Sequence[Sequence[Delivery]]) -> Settlement:
    """Settle federated rounds at once: each is split by the rule on its own, then added up.

    Args:
        rule: name of a reward rule.
        budget: wei of one round; None = the usual one for its cohort.
        rounds: at least one, each with every delivery of its cohort.
    """
    budgets = [round_budget(budget, len(cohort)) for cohort in rounds]
    amounts: dict[int, int] = {}
    for wei, cohort in zip(budgets, rounds, strict=True):
        for client, amount in rewards(rule, wei, cohort).items():
            amounts[client] = amounts.get(client, 0) + amount
    return Settlement(len(rounds), sum(budgets), _outcomes(rounds), amounts)


def settlements(
    policy: RewardPolicy,
    budget: int | None,
    rounds: Sequence[Sequence[Delivery]],
    seed: Seed | None = None,
) -> Iterator[Settlement]:
    """All federated rounds, block by block, the last one with what is left.

    Args:
        policy: what is paid by.
        budget: wei of one round; None = the usual one for its cohort.
        rounds: each with every delivery of its cohort.
        seed: that noise is drawn from, for a policy with noise.
    """
    done = list(_followed(rounds)) if policy.reputation else rounds
    blur = _Blur(policy, seed) if policy.noise and seed else None
    for first in range(0, len(done), policy.block):
        block = done[first : first + policy.block]
        if policy.pooled:
            pooled = _pooled(block)
            split = blur(first, pooled) if blur else pooled
            wei = sum(round_budget(budget, len(cohort)) for cohort in block)
            paid = rewards(policy.rule, wei, split)
            yield Settlement(len(block), wei, _outcomes(block), paid)
        else:
            split_each = [blur(first + n, one) for n, one in enumerate(block)] if blur else block
            yield settle(policy.rule, budget, split_each)


def _outcomes(rounds: Sequence[Sequence[Delivery]]) -> dict[int, int]:
    """Client -> its verdict in all of them: accepted, if any delta was; else the last one's."""
    found: dict[int, int] = {}
    for delivery in (one for cohort in rounds for one in cohort):
        if delivery.client not in found or delivery.accepted:
            found[delivery.client] = delivery.outcome
    return found


def _pooled(rounds: Sequence[Sequence[Delivery]]) -> list[Delivery]:
    """One delivery for each client, with the sums over its accepted ones."""
    outcomes = _outcomes(rounds)
    values, records = dict.fromkeys(outcomes, 0), dict.fromkeys(outcomes, 0)
    last: dict[int, Delivery] = {}
    for one in (one for cohort in rounds for one in cohort):
        if one.accepted or one.client not in last or not last[one.client].accepted:
            last[one.client] = one
        if one.accepted:
            values[one.client] += one.value
            records[one.client] += one.samples
    return [replace(last[c], value=values[c], samples=records[c]) for c in sorted(outcomes)]


def _followed(rounds: Sequence[Sequence[Delivery]]) -> Iterator[list[Delivery]]:
    """The same rounds with reputations for values; one that is refused counts as worth nothing.

    After L. Lyu et al., "Collaborative Fairness in Federated Learning", 2020, section 3: what a
    client was worth of late decides what it gets now.
    """
    known: dict[int, float] = {}
    for cohort in rounds:
        for one in cohort:
            value = one.value if one.accepted else 0
            known[one.client] = (1 - FOLLOWED) * known.get(one.client, 0.0) + FOLLOWED * value
        yield [replace(one, value=round(known[one.client])) for one in cohort]


class _Blur:
    """Adds a policy's noise to what it pays by; what falls below 0 is 0."""

    def __init__(self, policy: RewardPolicy, seed: Seed) -> None:
        self._policy, self._seed = policy, seed
        self._factors: dict[int, float] = {}

    def __call__(self, number: int, cohort: Sequence[Delivery]) -> list[Delivery]:
        """Of the round, or the pooled rounds, that begin with this number."""
        if self._policy.rule == "samples":
            return [replace(one, samples=self._records(one)) for one in cohort]
        rng = self._seed.generator("values", number)
        drawn = self._draw(rng, len(cohort))
        ordered = sorted(range(len(cohort)), key=lambda place: cohort[place].client)
        noise = dict(zip(ordered, drawn, strict=True))
        return [
            replace(one, value=max(0, one.value + round(MILLION * noise[place])))
            for place, one in enumerate(cohort)
        ]

    def _records(self, one: Delivery) -> int:
        if one.client not in self._factors:
            rng = self._seed.generator("records", one.client)
            self._factors[one.client] = float(2 ** self._draw(rng, 1)[0])
        return max(1, round(one.samples * self._factors[one.client]))

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """[count] numbers."""
        draw = rng.laplace if self._policy.noise == "laplace" else rng.normal
        return np.asarray(draw(0.0, self._policy.scale, count))
