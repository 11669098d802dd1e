"""Who earns what for a federated round: pure functions over integers, in wei.

``equal``
    Every delta of the cohort is worth the same; the share of a rejected one is not paid and returns
    to the treasury.
``samples``
    In proportion to the records a client trained on (the weights c_n / c of equation (2) of the
    seed paper), over the accepted deltas.
``size-classes``
    The same with records counted in classes, each twice the one before: pay then says of a client
    only in which class it is.
``contribution``, ``novelty``, ``aligned-novelty``, ``leave-one-out``
    In proportion to the value of the delta, as each of them tells it
    (:mod:`privaudit.custody.valuation`), over the accepted deltas, after the value-driven incentive
    of DeepChain (Weng et al., IEEE TDSC 2021).

Proportional rules pay the whole budget to the last wei by largest remainders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from privaudit.errors import UserError, unknown_name

WEI_PER_CLIENT = 200_000
"""Budget of a round per client of its cohort where the scenario states none."""

MILLION = 1_000_000
"""Of a delta's value: 1."""

ACCEPTED = 1
"""Outcome code of the contract for an accepted delta; the others say why not."""

REASON_CODES = {"shape": 4, "not finite": 5, "norm": 6}
"""How a rejection begins -> outcome code (``contracts/README.md``)."""
OTHER_REASON = 255


@dataclass(frozen=True)
class Delivery:
    """One client's verified delta in one federated round.

    Attributes:
        client: its id.
        sha256: digest of the delta, hexadecimal.
        samples: records it trained on.
        norm: L2 norm of the delta; None where it has none.
        reason: why it was rejected; empty when it was accepted.
        value: its contribution in millionths, >= 0; 0 where the reward rule does not ask for it.
    """

    client: int
    sha256: str
    samples: int
    norm: float | None = None
    reason: str = ""
    value: int = 0

    @property
    def accepted(self) -> bool:
        """Whether it went into the average."""
        return not self.reason

    @property
    def outcome(self) -> int:
        """The contract's code for the verdict."""
        return outcome_code(self.reason)


def outcome_code(reason: str) -> int:
    """1 for no reason (accepted), else the code of the reason, in 2..255."""
    if not reason:
        return ACCEPTED
    found = (code for start, code in REASON_CODES.items() if reason.startswith(start))
    return next(found, OTHER_REASON)


def equal(budget: int, cohort: Sequence[Delivery]) -> dict[int, int]:
    """The same for every accepted delta; nobody gets what a rejected one would have earned."""
    return {d.client: budget // len(cohort) for d in cohort if d.accepted}


def samples(budget: int, cohort: Sequence[Delivery]) -> dict[int, int]:
    """In proportion to the records of the accepted deltas."""
    return in_proportion(budget, {d.client: d.samples for d in cohort if d.accepted})


def size_classes(budget: int, cohort: Sequence[Delivery]) -> dict[int, int]:
    """In proportion to the nearest power of two to the records of the accepted deltas."""
    return in_proportion(budget, {d.client: size_class(d.samples) for d in cohort if d.accepted})


def size_class(records: int) -> int:
    """The power of two that is nearest by ratio; of no records 0."""
    return 2 ** round(math.log2(records)) if records > 0 else 0


def valued(budget: int, cohort: Sequence[Delivery]) -> dict[int, int]:
    """In proportion to the values of the accepted deltas; nothing when none has any."""
    return in_proportion(budget, {d.client: d.value for d in cohort if d.accepted})


Rule = Callable[[int, Sequence[Delivery]], dict[int, int]]
RULES: dict[str, Rule] = {
    "equal": equal,
    "samples": samples,
    "size-classes": size_classes,
    "contribution": valued,
    "novelty": valued,
    "aligned-novelty": valued,
    "leave-one-out": valued,
}

VALUED = frozenset(name for name, rule in RULES.items() if rule is valued)
"""Rules that ask what a delta was worth, which nobody can tell who sees no single delta."""


def rewards(rule: str, budget: int, cohort: Sequence[Delivery]) -> dict[int, int]:
    """Client -> wei for everybody in the cohort; a rejected delta earns 0.

    Args:
        rule: name of a reward rule.
        budget: wei, the most the round pays.
        cohort: every delivery of the round, each client once.
    """
    return {d.client: 0 for d in cohort} | rule_named(rule)(budget, cohort)


def rule_named(name: str) -> Rule:
    """The reward rule with this name."""
    if name not in RULES:
        raise unknown_name("reward rule", name, RULES)
    return RULES[name]


def in_proportion(budget: int, weights: Mapping[int, int]) -> dict[int, int]:
    """Split ``budget`` in proportion to non-negative integer weights, exactly.

    Every part is rounded down; the wei left over go to the largest remainders, lower client ids
    first among equal ones. All zero weights: nothing to anybody.
    """
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 0)
    parts = {client: budget * weight // total for client, weight in weights.items()}
    left = budget - sum(parts.values())
    order = sorted(weights, key=lambda client: (-(budget * weights[client] % total), client))
    for client in order[:left]:
        parts[client] += 1
    return parts


def round_budget(budget: int | None, cohort: int) -> int:
    """Wei of a round with ``cohort`` clients; None = ``WEI_PER_CLIENT`` for each of them."""
    return WEI_PER_CLIENT * cohort if budget is None else budget


def check_budget(rule: str, budget: int | None, cohorts: Sequence[int]) -> None:
    """Equal shares must be whole: the budget divides by the size of every cohort there will be.

    Raises:
        UserError: it does not; names the nearest budget that does.
    """
    if rule != "equal" or budget is None:
        return
    step = math.lcm(*cohorts)
    if budget % step:
        nearest = max(step, step * round(budget / step))
        sizes = ", ".join(str(size) for size in sorted(set(cohorts)))
        raise UserError(
            f"budget {budget} wei does not divide equally among cohorts of {sizes}",
            where="ledger.budget",
            remedy=f"nearest that does: {nearest}",
        )
