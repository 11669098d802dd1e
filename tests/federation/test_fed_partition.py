"""Who holds which records: every record once, the test set first, shares as asked for."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_data import table

from privaudit.errors import UserError
from privaudit.federation.assignment import assign
from privaudit.federation.partition import (
    ADVERSARY,
    TARGET,
    Partition,
    PartitionPlan,
    make_partition,
)
from privaudit.randomness import Seed

seeds = st.integers(0, 10_000).map(Seed)


def everything(partition: Partition) -> np.ndarray:
    return np.concatenate([partition.test, *partition.clients])


def grouped(records: int, groups: int, seed: int = 0) -> np.ndarray:
    """Group ids of very different sizes; each of the ``groups`` ids occurs."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(groups, 0.5))
    ids = np.concatenate([np.arange(groups), rng.choice(groups, records - groups, p=weights)])
    return rng.permutation(ids) * 7 + 3


@given(records=st.integers(10, 200), participants=st.integers(2, 8), seed=seeds)
def test_iid_is_disjoint_covers_and_is_even(records: int, participants: int, seed: Seed) -> None:
    assume(records > participants)
    partition = make_partition(table(records), participants, PartitionPlan(), seed)
    assert np.array_equal(np.sort(everything(partition)), np.arange(records))
    assert len(partition.clients) == participants
    sizes = [len(part) for part in partition.clients]
    assert max(sizes) - min(sizes) <= 1
    assert all((np.diff(part) > 0).all() for part in (partition.test, *partition.clients))


@given(
    records=st.integers(60, 300),
    groups=st.integers(12, 40),
    participants=st.integers(2, 8),
    seed=seeds,
)
def test_by_group_keeps_groups_whole(
    records: int, groups: int, participants: int, seed: Seed
) -> None:
    ids = grouped(records, groups)
    dataset = table(records, groups=ids)
    partition = make_partition(dataset, participants, PartitionPlan("by-group"), seed)
    assert np.array_equal(np.sort(everything(partition)), np.arange(records))
    parts = [partition.test, *partition.clients]
    owners = [{int(g) for g in ids[part]} for part in parts]
    assert all(owners)
    assert sum(len(o) for o in owners) == len(set().union(*owners)), "a group is on two sides"


@given(
    records=st.integers(60, 300),
    alpha=st.floats(0.3, 100),
    participants=st.integers(2, 5),
    seed=seeds,
)
def test_dirichlet_is_disjoint_and_covers(
    records: int, alpha: float, participants: int, seed: Seed
) -> None:
    plan = PartitionPlan("dirichlet", dirichlet_alpha=alpha)
    dataset = table(records, classes=3)
    with contextlib.suppress(UserError):  # a client without records: refused, tested below
        partition = make_partition(dataset, participants, plan, seed)
        assert np.array_equal(np.sort(everything(partition)), np.arange(records))


@settings(max_examples=30)
@given(
    kind=st.sampled_from(["iid", "by-group", "dirichlet"]),
    share=st.floats(0.02, 0.5),
    seed=seeds,
)
def test_the_test_set_is_the_same_for_every_number_of_participants(
    kind: str, share: float, seed: Seed
) -> None:
    dataset = table(600, groups=grouped(600, 60))
    plan = PartitionPlan(kind, test_share=share, dirichlet_alpha=100.0)
    tests = [make_partition(dataset, k, plan, seed).test for k in (2, 3, 5, 8)]
    for other in tests[1:]:
        assert np.array_equal(tests[0], other)
    largest = 1 if kind != "by-group" else max(np.bincount(dataset.groups))
    assert share * 600 <= len(tests[0]) < share * 600 + largest


@given(
    adversary=st.floats(0.05, 0.45),
    target=st.floats(0.05, 0.45),
    participants=st.integers(3, 9),
    seed=seeds,
)
def test_roles_get_their_shares_and_bystanders_equal_parts(
    adversary: float, target: float, participants: int, seed: Seed
) -> None:
    plan = PartitionPlan(test_share=0.2, adversary_share=adversary, target_share=target)
    partition = make_partition(table(1000), participants, plan, seed)
    left = (1 - adversary - target) / (participants - 2)
    expected = [adversary, target, *[left] * (participants - 2)]
    sizes = [len(part) for part in partition.clients]
    # Each cut is rounded to the nearest record: two half records per part.
    assert sizes == pytest.approx([800 * share for share in expected], abs=1)


def test_by_group_shares_are_met_to_within_the_largest_group() -> None:
    ids = np.repeat(np.arange(120), np.arange(120) % 41 + 5)[:3000]
    plan = PartitionPlan("by-group", 0.1, adversary_share=0.5, target_share=0.2)
    partition = make_partition(table(len(ids), groups=ids), 4, plan, Seed(1))
    dealt = len(ids) - len(partition.test)
    largest = int(np.bincount(ids).max())
    found = [len(part) for part in partition.clients]
    expected = [share * dealt for share in (0.5, 0.2, 0.15, 0.15)]
    assert largest < 0.02 * dealt
    assert found == pytest.approx(expected, abs=largest)


def test_two_parties_split_everything_between_them() -> None:
    plan = PartitionPlan(adversary_share=0.3)
    sizes = [len(p) for p in make_partition(table(1000), 2, plan, Seed(1)).clients]
    assert sizes == [255, 595]


def unevenness(alpha: float, clients: int, classes: int, members: int) -> float:
    """Mean over classes of sum_k (share_k - 1/K)^2."""
    labels = np.repeat(np.arange(classes), members)
    dataset = table(len(labels), classes=classes, labels=labels)
    plan = PartitionPlan("dirichlet", test_share=1e-9, dirichlet_alpha=alpha)
    partition = make_partition(dataset, clients, plan, Seed(3))
    counts = np.array([np.bincount(labels[p], minlength=classes) for p in partition.clients])
    shares = counts / counts.sum(0)
    return float(((shares - 1 / clients) ** 2).sum(0).mean())


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_dirichlet_is_as_uneven_as_alpha_says(alpha: float) -> None:
    clients, classes, members = 4, 400, 200
    # Dirichlet(alpha, ..., alpha) of K parts: Var p_k = (1/K)(1 - 1/K) / (alpha K + 1), K of them.
    expected = (1 - 1 / clients) / (alpha * clients + 1)
    # Hoeffding for a mean of `classes` independent values in [0, 1 - 1/K] at 1e-6, and cuts that
    # are rounded down to whole records (each share off by less than 1 / members).
    hoeffding = (1 - 1 / clients) * math.sqrt(math.log(2e6) / (2 * classes))
    rounding = 2 * clients / members
    found = unevenness(alpha, clients, classes, members)
    assert abs(found - expected) < hoeffding + rounding


def test_dirichlet_grows_even_with_alpha() -> None:
    found = [unevenness(alpha, 4, 100, 200) for alpha in (0.1, 1.0, 10.0, 1000.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 10 * found[2]
    assert found[3] < 1e-3


@pytest.mark.parametrize("kind", ["iid", "by-group", "dirichlet"])
def test_the_seed_decides(kind: str) -> None:
    dataset = table(300, groups=grouped(300, 40))
    plan = PartitionPlan(kind, dirichlet_alpha=10.0)
    first, again, other = (make_partition(dataset, 3, plan, Seed(s)) for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first.clients, again.clients, strict=True))
    assert not np.array_equal(first.test, other.test)


@pytest.mark.parametrize(
    ("records", "participants", "plan", "message"),
    [
        (10, 1, PartitionPlan(), r"at least 2 .*got 1"),
        (10, 10, PartitionPlan(), "10 clients and a test set, but only 10 records"),
        (10, 2, PartitionPlan("by-group"), "has no groups to partition by"),
        (10, 3, PartitionPlan(adversary_share=0.5, target_share=0.5), "take 1 of the records"),
        (40, 8, PartitionPlan("dirichlet", dirichlet_alpha=0.001), "would hold no record"),
    ],
)
def test_what_cannot_be_dealt_is_refused(
    records: int, participants: int, plan: PartitionPlan, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_partition(table(records), participants, plan, Seed(1))


def test_more_clients_than_groups_are_refused() -> None:
    dataset = table(10, groups=np.arange(10) % 3)
    with pytest.raises(UserError, match="but only 3 writers"):
        make_partition(dataset, 3, PartitionPlan("by-group"), Seed(1))


def test_exactly_enough_records_is_enough() -> None:
    partition = make_partition(table(9), 8, PartitionPlan(), Seed(1))
    assert [len(p) for p in (partition.test, *partition.clients)] == [1] * 9


def few_left_handed(groups: int = 30, carriers: int = 3) -> tuple[np.ndarray, np.ndarray]:
    ids = np.repeat(np.arange(groups), 20)
    return ids, (ids < carriers).astype(np.int8)


def test_a_deal_that_starves_a_role_is_drawn_again() -> None:
    ids, secret = few_left_handed()
    dataset = table(len(ids), groups=ids, properties={"secret": secret})
    plan = PartitionPlan("by-group", adversary_share=0.4, target_share=0.4)
    first_deals = [
        make_partition(dataset, 3, plan, Seed(s).child("deal", 0)).clients for s in range(6)
    ]
    starved = [
        s
        for s, clients in enumerate(first_deals)
        if min(secret[clients[role]].sum() for role in (ADVERSARY, TARGET)) < 10
    ]
    assert starved, "no first deal fails: the test shows nothing"
    for s in starved:
        dealt = assign(
            dataset,
            plan,
            train_participants=3,
            audit_participants=[3, 5],
            properties=["secret"],
            batch_size=10,
            others="without",
            seed=Seed(s),
        )
        clients = dealt.audited(5).clients
        assert min(secret[clients[role]].sum() for role in (ADVERSARY, TARGET)) >= 10
        assert np.array_equal(dealt.training.test, dealt.audited(5).test)
        assert len(dealt.training.clients) == 3
        assert all(map(np.array_equal, dealt.audited(3).clients, clients[:3]))


def test_what_no_deal_can_give_is_refused() -> None:
    ids, secret = few_left_handed(carriers=1)
    dataset = table(len(ids), groups=ids, properties={"secret": secret})
    with pytest.raises(UserError, match="records with property 'secret', one batch needs 10"):
        assign(
            dataset,
            PartitionPlan("by-group"),
            train_participants=3,
            audit_participants=[3],
            properties=["secret"],
            batch_size=10,
            others="without",
            seed=Seed(1),
        )


def test_an_uneven_dirichlet_deal_is_dealt_again() -> None:
    dataset = table(400)
    plan = PartitionPlan("dirichlet", dirichlet_alpha=0.3)
    how = {
        "train_participants": 5,
        "audit_participants": [5],
        "properties": ["secret"],
        "batch_size": 5,
        "others": "without",
    }
    failed = 0
    for number in range(12):
        with contextlib.suppress(UserError):
            make_partition(dataset, 5, plan, Seed(number).child("deal", 0))
            failed -= 1
        failed += 1
        dealt = assign(dataset, plan, seed=Seed(number), **how)  # type: ignore[arg-type]
        again = assign(dataset, plan, seed=Seed(number), **how)  # type: ignore[arg-type]
        assert all(map(np.array_equal, dealt.largest.clients, again.largest.clients))
        secret = dataset.properties["secret"]
        assert min((secret[held] == 0).sum() for held in dealt.largest.clients) >= 5
    assert failed, "no first deal fails: the test shows nothing"


def test_a_dirichlet_deal_that_nobody_can_make_says_what_to_change() -> None:
    dataset = table(3000)
    how = {
        "train_participants": 10,
        "audit_participants": [10],
        "properties": ["secret"],
        "batch_size": 32,
        "others": "without",
        "seed": Seed(1),
    }
    plan = PartitionPlan("dirichlet", dirichlet_alpha=0.1)
    with pytest.raises(UserError, match=r"dirichlet_alpha 0.1 none of 50 deals") as refusal:
        assign(dataset, plan, **how)  # type: ignore[arg-type]
    words = str(refusal.value).split("; ")
    [alpha] = [float(w.split()[0]) for w in words if w.endswith("can be dealt")]
    assign(dataset, PartitionPlan("dirichlet", dirichlet_alpha=alpha), **how)  # type: ignore[arg-type]
