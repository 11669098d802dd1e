"""Shadows: what a client would have sent, had it held the adversary's records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import EPSILON, dense_engine, rows

from privaudit.attack.adversary import (
    Adversary,
    AuxiliaryData,
    ShadowRound,
)
from privaudit.attack.latest import LatestRound
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine, LocalRule
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

RECORDS, BATCH = 120, 6
VALUES = np.random.default_rng(0).choice([-1, 0, 1], RECORDS, p=[0.2, 0.4, 0.4]).astype(np.int8)
RULES = Rules(participants=4, batch_size=BATCH, lr=0.3, others="without")


def adversary(**changes: object) -> Adversary:
    auxiliary = AuxiliaryData(rows(RECORDS), VALUES)
    return Adversary(dense_engine(), auxiliary, RULES.model_copy(update=changes), 5, Seed(3))


def seen(engine: Engine, number: int = 0, participants: int = 4) -> Observation:
    zero = torch.zeros(engine.layout.size)
    return Observation(number, engine.initial, zero, zero, 1 / participants, participants)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every batch whose gradient or training an adversary asks for, with its delta."""
    batches: list[np.ndarray] = []
    gradients, training = Engine.gradients, Engine.train_clients

    def spy_gradients(engine: Engine, parameters, samples, chosen, seed):  # type: ignore[no-untyped-def]
        batches.extend(chosen)
        return gradients(engine, parameters, samples, chosen, seed)

    def spy_training(engine: Engine, parameters, samples, clients, *more):  # type: ignore[no-untyped-def]
        batches.extend(np.concatenate(chosen) for chosen in clients)
        return training(engine, parameters, samples, clients, *more)

    monkeypatch.setattr(Engine, "gradients", spy_gradients)
    monkeypatch.setattr(Engine, "train_clients", spy_training)
    return batches


@pytest.mark.parametrize(("share", "held"), [(1.0, 6), (0.5, 3)])
def test_shadows_hold_the_property_as_the_target_would(
    drawn: list[np.ndarray], share: float, held: int
) -> None:
    player = adversary(property_share=share)
    shadow = player.shadow(seen(player.engine))
    assert [int((VALUES[b] == 1).sum()) for b in drawn] == [held] * 5 + [0] * 5
    assert all(len(b) == BATCH and (VALUES[b] != -1).all() for b in drawn)
    assert shadow.bystanders is shadow.absent
    assert shadow.contributors == 3


def test_natural_bystanders_draw_from_all_records(drawn: list[np.ndarray]) -> None:
    player = adversary(others="natural")
    shadow = player.shadow(seen(player.engine))
    assert len(drawn) == 15
    values = VALUES[np.concatenate(drawn[10:])]
    assert set(values) == {-1, 0, 1}
    assert shadow.bystanders.shape == shadow.absent.shape
    assert not torch.equal(shadow.bystanders, shadow.absent)


def test_a_shadow_is_the_delta_a_client_would_send(drawn: list[np.ndarray]) -> None:
    """One step: minus lr times the gradient; several: local training; then the transforms."""
    sent = {"clip_norm": 0.2, "sharing_rule": "largest", "shared_fraction": 0.25}
    for steps, momentum, ways in ((1, 0.0, {}), (1, 0.0, sent), (2, 0.9, sent)):
        drawn.clear()
        player = adversary(local_steps=steps, momentum=momentum, **ways)
        transforms = player.rules.transforms
        assert (transforms == Transforms()) == (ways == {})
        engine, own = player.engine, player.auxiliary.samples
        shadow = player.shadow(seen(engine))
        for delta, batch in zip(
            torch.cat([shadow.present, shadow.absent]), list(drawn), strict=True
        ):
            trained = engine.train(
                engine.initial,
                own,
                np.split(batch, steps),
                rule=LocalRule(0.3, momentum),
                seed=Seed(0),
            ).delta
            expected = transforms.apply(trained, engine.layout, Seed(0))
            # Rounding may only swap two coordinates of equal size where the cut falls.
            torch.testing.assert_close(delta, expected, rtol=0, atol=20 * EPSILON)
        assert shadow.present.abs().max() > 0.01


def test_shadows_are_fresh_each_round_and_the_same_each_time() -> None:
    player = adversary()
    first = player.shadow(seen(player.engine, 0))
    again = player.shadow(seen(player.engine, 0))
    later = player.shadow(seen(player.engine, 1))
    assert torch.equal(first.present, again.present)
    assert not torch.equal(first.present, later.present)


@pytest.mark.parametrize("steps", [1, 3])
def test_shadows_come_with_how_often_a_draw_fits_into_the_records(steps: int) -> None:
    player = adversary(local_steps=steps)
    fewest = min((VALUES == 1).sum(), (VALUES == 0).sum())
    assert player.shadow(seen(player.engine)).draws == fewest / (BATCH * steps)


def test_no_record_is_drawn_twice_in_a_batch_while_records_last(drawn: list[np.ndarray]) -> None:
    player = adversary()
    player.shadow(seen(player.engine))
    assert all(len(np.unique(batch)) == BATCH for batch in drawn)


def coded(kind: int, count: int) -> torch.Tensor:
    """Unit vectors, one coordinate per shadow: a sum shows who is in it."""
    return torch.eye(3 * count)[kind * count : (kind + 1) * count]


@given(
    count=st.integers(2, 6),
    contributors=st.integers(1, 12),
    own_pool=st.booleans(),
    root=st.integers(0, 100),
)
def test_an_aggregate_is_one_shadow_and_the_other_contributors(
    count: int, contributors: int, own_pool: bool, root: int
) -> None:
    absent = coded(1, count)
    pool = coded(2, count) if own_pool else absent
    shadow = ShadowRound(coded(0, count), absent, pool, contributors)
    sums, labels = shadow.aggregates(np.random.default_rng(root))
    assert sums.shape == (2 * count, 3 * count)
    assert list(labels) == [True] * count + [False] * count
    for row, (total, present) in enumerate(zip(sums, labels, strict=True)):
        assert float(total.sum()) == contributors
        assert float(total[:count].sum()) == (1 if present else 0), "the property comes once"
        own = row if present else count + row - count
        assert total[own] == 1, "a shadow is never added to itself"
        others = contributors - 1
        free = count if own_pool or present else count - 1
        if others <= free:
            assert float(total.max()) == 1, "drawn without replacement while the pool lasts"


def test_a_lone_target_has_the_shadows_themselves() -> None:
    shadow = ShadowRound(coded(0, 3), coded(1, 3), coded(1, 3), 1)
    sums, _ = shadow.aggregates(np.random.default_rng(0))
    assert torch.equal(sums, torch.cat([coded(0, 3), coded(1, 3)]))


@pytest.mark.parametrize("own_pool", [True, False])
@pytest.mark.parametrize("contributors", [1, 2, 5])
def test_aggregates_of_a_linear_view_are_views_of_the_aggregates(
    own_pool: bool, contributors: int
) -> None:
    generator = torch.Generator().manual_seed(7)
    present, absent, pool = (torch.randn(4, 30, generator=generator) for _ in range(3))
    shadow = ShadowRound(present, absent, pool if own_pool else absent, contributors)
    matrix = torch.randn(30, 3, generator=generator)
    summed, truth = shadow.aggregates(np.random.default_rng(1))
    seen, labels = shadow.seen_through(lambda deltas: deltas @ matrix).aggregates(
        np.random.default_rng(1)
    )
    assert torch.allclose(seen, summed @ matrix, atol=1e-4)
    assert np.array_equal(labels, truth)


def test_the_adversary_holds_no_truth_about_others() -> None:
    """Engine, own records, rules, number of shadows and seed; else only what it computes itself."""
    allowed = {"engine", "auxiliary", "rules", "shadows", "seed"}
    assert {name for name in Adversary.__dataclass_fields__ if name[0] != "_"} == allowed
    assert {name for name in Adversary.__dataclass_fields__ if name[0] == "_"} == {"_work"}
    assert Adversary.__dataclass_fields__["_work"].default_factory is LatestRound
    assert list(vars(LatestRound()).values()) == [-1, None, {}]
    assert set(AuxiliaryData.__dataclass_fields__) <= {"samples", "present", "groups"}


def test_federations_at_the_same_parameters_share_the_work(drawn: list[np.ndarray]) -> None:
    """Whoever computes it first: the shadows are those of an adversary of that federation alone."""
    sparse, full = ("largest", 0.25), ("all", 1.0)
    for order in ([(9, sparse), (4, full), (5, full)], [(4, full), (9, sparse), (5, full)]):
        one = adversary()
        alike = {}
        for participants, (rule, fraction) in order:
            rules = {"sharing_rule": rule, "shared_fraction": fraction}
            changes = {"participants": participants, **rules}
            member = one.among(one.rules.model_copy(update=changes))
            alike[participants] = changes, member.shadow(seen(one.engine, 2, participants))
        assert len(drawn) == 10  # of one federation
        drawn.clear()
        for participants, (changes, shadow) in alike.items():
            alone = adversary(**changes)
            expected = alone.shadow(seen(alone.engine, 2, participants))
            assert torch.equal(shadow.present, expected.present)
            assert torch.equal(shadow.absent, expected.absent)
            assert shadow.contributors == participants - 1
        drawn.clear()


@pytest.mark.parametrize("change", ["round", "parameters"])
def test_another_round_or_other_parameters_have_shadows_of_their_own(
    drawn: list[np.ndarray], change: str
) -> None:
    player = adversary()
    first = seen(player.engine)
    moved = replace(first, before=first.before + 0.5)
    player.shadow(first)
    other = player.shadow(seen(player.engine, 1) if change == "round" else moved)
    assert len(drawn) == 20
    fresh = adversary().shadow(seen(player.engine, 1) if change == "round" else moved)
    assert torch.equal(other.present, fresh.present)
