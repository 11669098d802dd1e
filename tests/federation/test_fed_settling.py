"""Reward policies: what is done to values and sizes before a budget is split by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privaudit.accounting.gaussian import epsilon_at
from privaudit.accounting.pay import DELTA, of_size, of_values
from privaudit.federation.rewards import MILLION, RULES, Delivery
from privaudit.federation.settling import (
    FOLLOWED,
    RewardPolicy,
    Settlement,
    policy_named,
    settlements,
)
from privaudit.randomness import Seed

BUDGET, SEED = 1_000_000, Seed(11)


def cohort(values: list[float], records: int = 100, reasons: dict[int, str] | None = None):
    return [
        Delivery(k, "", records, reason=(reasons or {}).get(k, ""), value=round(MILLION * value))
        for k, value in enumerate(values)
    ]


def settled(name: str, rounds: list, seed: Seed = SEED) -> list[Settlement]:
    return list(settlements(policy_named(name), BUDGET, rounds, seed))


@pytest.mark.parametrize("rule", sorted(RULES))
def test_no_rule_is_read_as_another_with_something_done_to_it(rule: str) -> None:
    assert policy_named(rule) == RewardPolicy(rule)
    assert policy_named(f"{rule}-per-10") == RewardPolicy(rule, block=10)


def test_a_pool_is_split_by_sums_and_a_refused_delta_adds_nothing() -> None:
    rounds = [cohort([1.0, 0.0]), cohort([0.2, 0.6], reasons={1: "norm 2 over 1"})]
    (pooled,) = settled("novelty-pool-2", rounds)
    assert pooled.amounts == {0: 2 * BUDGET, 1: 0}
    assert pooled.outcomes == {0: 1, 1: 1}
    (pooled,) = settled("novelty-pool-2", [rounds[0], cohort([0.2, 0.6])])
    assert pooled.amounts == {0: 1_333_333, 1: 666_667}
    (by_round,) = settled("novelty-per-2", [rounds[0], cohort([0.2, 0.6])])
    assert by_round.amounts == {0: 1_250_000, 1: 750_000}


def test_one_lucky_round_earns_less_in_a_pool() -> None:
    """A random direction is worth something only where the others are worth nothing."""
    rounds = [cohort([0.3, 0.3, 0.0])] * 9 + [cohort([0.0, 0.0, 0.01])]
    (pooled,), (by_round,) = (settled(f"novelty-{how}-10", rounds) for how in ("pool", "per"))
    assert by_round.amounts[2] == BUDGET
    assert pooled.amounts[2] < BUDGET / 50


def test_a_reputation_follows_slowly() -> None:
    rounds = [cohort([0.5, 0.5])] * 30 + [cohort([0.0, 0.5])]
    plain, slow = settled("novelty", rounds)[-1], settled("novelty-reputation", rounds)[-1]
    assert plain.amounts[0] == 0
    assert slow.amounts[0] / slow.amounts[1] == pytest.approx(1 - FOLLOWED, abs=0.01)


def test_noise_is_that_of_the_seed_and_falls_on_everybody_alike() -> None:
    rounds = [cohort([0.5] * 5)] * 400
    first, again = (settled("novelty-laplace-0.1", rounds) for _ in range(2))
    other = settled("novelty-laplace-0.1", rounds, Seed(12))
    assert first == again
    assert first != other
    total = np.array([[one.amounts[k] for k in range(5)] for one in first])
    assert (total.sum(1) == BUDGET).all()
    assert total.mean(0) == pytest.approx(BUDGET / 5, rel=0.1)
    assert total.std() > 0.1 * BUDGET / 5


def test_noise_on_a_pool_is_drawn_once() -> None:
    """The same noise on the sum of ten rounds moves pay less than on each of them."""
    rounds = [cohort([0.5] * 5)] * 200

    def spread(name: str) -> float:
        return float(np.std([list(one.amounts.values()) for one in settled(name, rounds)]))

    assert spread("novelty-gaussian-0.5-pool-10") < 0.7 * spread("novelty-gaussian-0.5-per-10")


def test_noisy_sizes_are_as_wrong_in_every_round() -> None:
    rounds = [cohort([0.0] * 4, records=500)] * 20
    paid = {tuple(one.amounts.values()) for one in settled("samples-laplace-1", rounds)}
    assert len(paid) == 1
    assert len(set(paid.pop())) > 1


def test_order_of_arrival_changes_no_noise() -> None:
    values = cohort([0.1, 0.5, 0.9])
    (one,), (two,) = (
        settled("novelty-laplace-1", [list(order)]) for order in (values, values[::-1])
    )
    assert one.amounts == two.amounts


def test_what_noise_promises_by_hand() -> None:
    found = of_values("laplace", 0.5, clients=5, rounds=36, pooled=12)
    assert (found.one_round, found.all_rounds) == (10, 360)
    found = of_values("gaussian", 0.5, clients=4, rounds=36, pooled=12)
    assert found.one_round == pytest.approx(epsilon_at(4.0, DELTA))
    assert found.all_rounds == pytest.approx(epsilon_at(4.0 * 12 * 3**0.5, DELTA))
    assert of_size("laplace", 2.0) == 0.5


def test_the_promise_of_laplace_holds_for_what_is_published() -> None:
    """Two clients, values exchanged from 0 to 1: no event is e^ε times as likely."""
    promise = of_values("laplace", 2.0, clients=2, rounds=1).one_round
    shares = []
    for values in ([0.0, 0.0], [1.0, 1.0]):
        rounds = [cohort(values)] * 20_000
        paid = settled("novelty-laplace-2", rounds, Seed(5))
        shares.append(np.array([one.amounts[0] for one in paid]) / BUDGET)
    for low, high in ((0.0, 0.0), (0.0, 0.3), (0.3, 0.7), (1.0, 1.0)):
        one, two = (float(((s >= low) & (s <= high)).mean()) for s in shares)
        assert max(one, two) <= np.exp(promise) * min(one, two) + 0.01


def test_a_delivery_keeps_what_it_is() -> None:
    (one,) = settled("novelty-pool-3", [cohort([0.5, 0.5])] * 3)
    assert one.rounds == 3
    assert one.budget == 3 * BUDGET
    refused = [replace(d, reason="not finite") for d in cohort([0.5, 0.5])]
    (one,) = settled("novelty-pool-3", [refused] * 3)
    assert set(one.outcomes.values()) == {5}
    assert sum(one.amounts.values()) == 0
