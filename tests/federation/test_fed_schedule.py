"""Who draws what in the audited rounds: exactly as the ground truth says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_data import table
from small_models import dense_engine, rows

from privaudit.engine.engine import Engine, LocalUpdate
from privaudit.errors import UserError
from privaudit.federation.partition import ADVERSARY, TARGET, PartitionPlan, make_partition
from privaudit.federation.phases import AuditedPhase, audited, audited_work
from privaudit.federation.rounds import ClientWork, LocalTraining, RoundOutcome
from privaudit.federation.schedule import (
    PropertyPools,
    as_batches,
    balanced_presence,
    draw,
    property_pools,
    stretches,
    targets_of,
)
from privaudit.randomness import Seed

RECORDS = 400
VALUES = np.random.default_rng(0).choice([-1, 0, 1], RECORDS, p=[0.2, 0.4, 0.4]).astype(np.int8)
DATASET = table(RECORDS, properties={"secret": VALUES})
PARTITION = make_partition(DATASET, 4, PartitionPlan(), Seed(2))


def pools(others: str = "without") -> PropertyPools:
    return property_pools(DATASET, PARTITION, "secret", 8, others)


@given(
    size=st.integers(1, 200),
    share=st.floats(0.01, 1.0),
    present=st.booleans(),
    root=st.integers(0, 1000),
)
def test_the_target_draws_exactly_its_share_or_none(
    size: int, share: float, present: bool, root: int
) -> None:
    rng = np.random.default_rng(root)
    drawn = draw(pools(), TARGET, present, size=size, share=share, others="without", rng=rng)
    assert len(drawn) == size
    assert (VALUES[drawn] == 1).sum() == (round(share * size) if present else 0)
    assert (VALUES[drawn] != -1).all(), "a record that states nothing is no evidence"
    assert np.isin(drawn, PARTITION.clients[TARGET]).all()


@given(client=st.integers(2, 3), present=st.booleans(), size=st.integers(1, 150))
def test_bystanders_hold_nothing_with_the_property(client: int, present: bool, size: int) -> None:
    rng = np.random.default_rng(0)
    drawn = draw(pools(), client, present, size=size, share=1.0, others="without", rng=rng)
    assert (VALUES[drawn] == 0).all()
    assert np.isin(drawn, PARTITION.clients[client]).all()


@pytest.mark.parametrize(("client", "others"), [(2, "natural"), (ADVERSARY, "without")])
def test_natural_bystanders_and_the_adversary_draw_from_all_they_hold(
    client: int, others: str
) -> None:
    own = PARTITION.clients[client]
    rng = np.random.default_rng(0)
    drawn = draw(pools(others), client, True, size=len(own), share=1.0, others=others, rng=rng)
    assert np.array_equal(np.sort(drawn), own)


def test_the_target_draws_by_the_truth_also_among_natural_bystanders() -> None:
    rng = np.random.default_rng(0)
    drawn = draw(pools("natural"), TARGET, True, size=9, share=1.0, others="natural", rng=rng)
    assert (VALUES[drawn] == 1).all()


def test_no_record_twice_while_the_pool_lasts() -> None:
    held = int((VALUES[PARTITION.clients[TARGET]] == 1).sum())

    def drawn(size: int) -> np.ndarray:
        rng = np.random.default_rng(0)
        return draw(pools(), TARGET, True, size=size, share=1.0, others="without", rng=rng)

    assert len(np.unique(drawn(held))) == held
    assert len(drawn(held + 1)) == held + 1, "a pool that is too small is drawn with repetition"


def test_the_property_is_spread_over_the_local_batches() -> None:
    """A draw for several batches is shuffled: not the property first and the rest after."""
    rng = np.random.default_rng(0)
    drawn = draw(pools(), TARGET, True, size=40, share=0.5, others="without", rng=rng)
    first = (VALUES[as_batches(drawn, 20)[0]] == 1).sum()
    assert 0 < first < 20


@given(rounds=st.integers(1, 200), root=st.integers(0, 1000))
def test_presence_is_balanced(rounds: int, root: int) -> None:
    present = balanced_presence(rounds, np.random.default_rng(root))
    assert present.shape == (rounds,)
    assert present.dtype == bool
    assert abs(2 * int(present.sum()) - rounds) <= 1


def test_presence_has_no_pattern() -> None:
    deals = np.array([balanced_presence(21, np.random.default_rng(i)) for i in range(400)])
    # Each round is present with probability 1/2: binomial(400, 1/2), 21 rounds, 4.5 deviations.
    assert np.abs(deals.mean(0) - 0.5).max() < 4.5 * 0.5 / 20
    assert set(deals.sum(1)) == {10, 11}, "the odd round falls by a coin"


def test_a_round_is_about_one_honest_client_in_turn() -> None:
    assert targets_of(7, 4, rotate=True).tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert targets_of(3, 4, rotate=False).tolist() == [TARGET] * 3
    rng = np.random.default_rng(0)
    drawn = draw(pools(), 3, True, size=8, share=1.0, others="without", rng=rng, target=3)
    assert set(drawn) <= set(pools().present[3])
    assert not set(drawn) & set(pools().absent[3])


def test_batches_cover_the_draw_in_order() -> None:
    parts = as_batches(np.arange(11), 4)
    assert [list(p) for p in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(RECORDS), "one value only.*every known value is 1"),
        (np.zeros(RECORDS), "one value only.*every known value is 0"),
        (-np.ones(RECORDS), "one value only.*no record states it"),
        (np.where(np.arange(RECORDS) < 5, 1, 0), "holds . records with property 'secret', one"),
        (np.where(np.arange(RECORDS) < 5, 0, 1), "holds . records without property 'secret', one"),
    ],
)
def test_a_property_that_cannot_be_audited_is_refused(values: np.ndarray, message: str) -> None:
    dataset = table(RECORDS, properties={"secret": values.astype(np.int8)})
    with pytest.raises(UserError, match=message):
        property_pools(dataset, PARTITION, "secret", 8, "without")


def test_only_without_asks_bystanders_for_records_without_the_property() -> None:
    values = VALUES.copy()
    values[PARTITION.clients[3]] = 1
    dataset = table(RECORDS, properties={"secret": values})
    property_pools(dataset, PARTITION, "secret", 8, "natural")
    with pytest.raises(UserError, match="client 3 holds 0 records without"):
        property_pools(dataset, PARTITION, "secret", 8, "without")


def phase(**changes: object) -> AuditedPhase:
    settings: dict[str, object] = {
        "participants": 4,
        "cohort": None,
        "rounds": 12,
        "local_steps": 2,
        "batch_size": 5,
        "property_share": 0.6,
        "others": "without",
        "training": LocalTraining(0.1),
    }
    return AuditedPhase(**(settings | changes))


def run_phase(plan: AuditedPhase, seed: int = 1) -> list[RoundOutcome]:
    engine = dense_engine(features=4, classes=2)
    present = balanced_presence(plan.rounds, np.random.default_rng(0))
    samples = rows(RECORDS, features=4, classes=2)
    rounds = audited(engine, samples, pools(), present, plan, start=engine.initial, seed=Seed(seed))
    return list(rounds)


def test_audited_rounds_give_every_client_the_same_weight() -> None:
    for outcome in run_phase(phase()):
        assert outcome.weights == pytest.approx(dict.fromkeys(range(4), 0.25))
        assert [v.samples for v in outcome.verdicts] == [10] * 4


def test_adversary_and_target_are_in_every_audited_cohort() -> None:
    cohorts = [tuple(o.weights) for o in run_phase(phase(cohort=3))]
    assert all(len(c) == 3 and {ADVERSARY, TARGET} <= set(c) for c in cohorts)
    assert {c[2] for c in cohorts} == {2, 3}, "bystanders take turns"
    assert all(set(o.weights) == {0, 1} for o in run_phase(phase(cohort=1)))


def test_every_audited_round_follows_the_ground_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    original = Engine.train_clients

    def spy(engine: Engine, *arguments: object, **settings: object) -> Iterator[LocalUpdate]:
        seen.extend(np.concatenate(batches) for batches in arguments[2])
        return original(engine, *arguments, **settings)

    monkeypatch.setattr(Engine, "train_clients", spy)
    plan = phase()
    present = balanced_presence(plan.rounds, np.random.default_rng(0))
    run_phase(plan)
    targets = [VALUES[records] for records in seen[TARGET::4]]
    assert [int((values == 1).sum()) for values in targets] == [6 if p else 0 for p in present]
    bystanders = [VALUES[records] for client in (2, 3) for records in seen[client::4]]
    assert all((values == 0).all() for values in bystanders)
    assert len({bytes(records) for records in seen}) == len(seen), "every draw is a new one"


def test_a_smaller_federation_is_the_first_clients_of_a_larger_one() -> None:
    """Same batches, same objects; the target's are its own at each number of participants."""
    known: dict[int, ClientWork] = {}
    larger, smaller = (
        audited_work(
            pools(),
            True,
            phase(participants=participants),
            3,
            Seed(1),
            target_seed=Seed(1).child(participants),
            known=known,
        )
        for participants in (4, 3)
    )
    alone = audited_work(
        pools(), True, phase(participants=3), 3, Seed(1), target_seed=Seed(1).child(3), known={}
    )
    assert [item.client for item in smaller] == [0, 1, 2]
    for one, other, again in zip(smaller, larger, alone, strict=False):
        assert (one is other) == (one.client != TARGET)
        assert all(map(np.array_equal, one.batches, again.batches))
    assert not np.array_equal(smaller[TARGET].batches[0], larger[TARGET].batches[0])


@pytest.mark.parametrize(("held", "enough"), [(8, True), (7, False)])
def test_one_batch_of_each_value_is_enough_and_needed(held: int, enough: bool) -> None:
    values = np.zeros(RECORDS, np.int8)
    for role in (ADVERSARY, TARGET):
        values[PARTITION.clients[role][: 8 if role == ADVERSARY else held]] = 1
    dataset = table(RECORDS, properties={"secret": values})
    if enough:
        property_pools(dataset, PARTITION, "secret", 8, "without")
        return
    with pytest.raises(UserError, match=r"the target \(client 1\) holds 7 records with"):
        property_pools(dataset, PARTITION, "secret", 8, "without")


@given(rounds=st.integers(16, 80), length=st.none() | st.integers(4, 8))
def test_a_stretch_begins_after_a_quarter_and_is_as_long_as_asked(
    rounds: int, length: int | None
) -> None:
    possible = stretches(rounds, length)
    starts = possible.argmax(axis=1)
    assert len(set(starts)) == len(possible) >= rounds // 4
    assert starts.min() == rounds // 4
    assert (np.abs(np.diff(np.pad(possible, ((0, 0), (1, 1))))).sum(axis=1) == 2).all()
    counts = possible.sum(axis=1)
    assert counts.min() == (length or rounds // 4)
    assert possible[:, -1].all() if length is None else (counts == length).all()
