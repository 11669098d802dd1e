"""Reward rules: exact, monotone, indifferent to order, and plain about rejections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import UserError
from privaudit.federation.rewards import (
    RULES,
    Delivery,
    check_budget,
    in_proportion,
    outcome_code,
    rewards,
    round_budget,
    size_class,
)

BUDGETS = st.integers(1, 10**24)
REASONS = st.sampled_from(["", "", "", "not finite", "norm 3 over 1"])


@st.composite
def cohorts(draw: st.DrawFn) -> list[Delivery]:
    size = draw(st.integers(1, 12))
    return [
        Delivery(
            client,
            "00",
            samples=draw(st.integers(1, 10_000)),
            reason=draw(REASONS),
            value=draw(st.integers(0, 1_000_000)),
        )
        for client in range(size)
    ]


@given(st.sampled_from(sorted(RULES)), BUDGETS, cohorts())
def test_never_more_than_the_budget_and_nothing_for_the_rejected(
    rule: str, budget: int, cohort: list[Delivery]
) -> None:
    paid = rewards(rule, budget, cohort)
    assert set(paid) == {d.client for d in cohort}
    assert sum(paid.values()) <= budget
    assert all(amount >= 0 for amount in paid.values())
    assert all(paid[d.client] == 0 for d in cohort if d.reason)


@given(st.sampled_from(["samples", "contribution"]), BUDGETS, cohorts())
def test_proportional_rules_pay_the_whole_budget_or_nobody_deserves_any(
    rule: str, budget: int, cohort: list[Delivery]
) -> None:
    worth = [getattr(d, {"samples": "samples", "contribution": "value"}[rule]) for d in cohort]
    deserved = any(w for w, d in zip(worth, cohort, strict=True) if d.accepted)
    assert sum(rewards(rule, budget, cohort).values()) == (budget if deserved else 0)


@given(BUDGETS, cohorts())
def test_of_clients_of_one_size_class_nobody_sees_who_has_more(
    budget: int, cohort: list[Delivery]
) -> None:
    paid = rewards("size-classes", budget, cohort)
    for one in (d for d in cohort if d.accepted):
        alike = [
            d for d in cohort if d.accepted and size_class(d.samples) == size_class(one.samples)
        ]
        assert max(paid[d.client] for d in alike) - min(paid[d.client] for d in alike) <= 1


@pytest.mark.parametrize(("records", "found"), [(0, 0), (1, 1), (90, 64), (91, 128), (1448, 1024)])
def test_size_classes_are_powers_of_two(records: int, found: int) -> None:
    assert size_class(records) == found


@given(st.integers(1, 10**20), cohorts())
def test_equal_pays_the_whole_budget_when_it_divides_and_nobody_is_rejected(
    share: int, cohort: list[Delivery]
) -> None:
    paid = rewards("equal", share * len(cohort), cohort)
    assert paid == {d.client: share if d.accepted else 0 for d in cohort}


@given(st.sampled_from(sorted(RULES)), BUDGETS, cohorts(), st.randoms())
def test_order_of_arrival_does_not_matter(
    rule: str, budget: int, cohort: list[Delivery], random: object
) -> None:
    shuffled = list(cohort)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rewards(rule, budget, shuffled) == rewards(rule, budget, cohort)


@given(BUDGETS, st.dictionaries(st.integers(0, 30), st.integers(0, 10**6), min_size=2))
def test_more_weight_never_earns_less_and_nobody_is_a_wei_off(
    budget: int, weights: dict[int, int]
) -> None:
    parts, total = in_proportion(budget, weights), sum(weights.values())
    for one, weight in weights.items():
        if total:
            assert abs(parts[one] * total - budget * weight) < total
        lighter = (other for other, less in weights.items() if less < weight)
        assert all(parts[one] >= parts[other] for other in lighter)


def test_proportions_by_hand() -> None:
    assert in_proportion(10, {0: 1, 1: 1, 2: 1}) == {0: 4, 1: 3, 2: 3}
    assert in_proportion(100, {0: 1, 1: 3}) == {0: 25, 1: 75}
    assert in_proportion(7, {0: 0, 1: 5}) == {0: 0, 1: 7}


@pytest.mark.parametrize(
    ("reason", "code"),
    [("", 1), ("shape (3,), not (4,)", 4), ("not finite", 5), ("norm 9 over 1", 6), ("?", 255)],
)
def test_outcome_codes_are_those_of_the_contract(reason: str, code: int) -> None:
    assert outcome_code(reason) == code


def test_the_verdicts_of_the_server_have_codes_of_their_own() -> None:
    import torch

    from privaudit.federation.aggregation import Submission, verify

    vectors = [torch.zeros(3), torch.full((4,), torch.nan), torch.ones(4), torch.zeros(4)]
    verdicts = [verify(Submission(0, vector, 1), 4, norm_bound=1.0) for vector in vectors]
    assert [outcome_code(v.reason) for v in verdicts] == [4, 5, 6, 1]


@given(BUDGETS, st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_a_refused_budget_names_one_that_is_accepted(budget: int, sizes: list[int]) -> None:
    try:
        check_budget("equal", budget, sizes)
    except UserError as error:
        nearest = int(str(error.remedy).rsplit(" ", 1)[1])
        assert nearest > 0
        check_budget("equal", nearest, sizes)
        assert any(budget % size for size in sizes)
    else:
        assert not any(budget % size for size in sizes)


def test_the_default_budget_always_divides() -> None:
    for size in (2, 3, 7, 33, 1000):
        assert round_budget(None, size) % size == 0
    check_budget("equal", None, [2, 3, 7])
    check_budget("samples", 1, [3])
    assert round_budget(12, 5) == 12
