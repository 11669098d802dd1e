"""Canaries in a loop of one's own: what is added, what is heard, what is said of it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from privaudit.accounting.gaussian import epsilon_at
from privaudit.canaries import Canaries, CanaryRecord, Reading, read_record
from privaudit.canaries.words import in_words
from privaudit.errors import UserError
from privaudit.randomness import Seed

SIZE, CLIP, ROUNDS, DELTA = 500, 0.5, 4, 1e-5


def audited(
    multiplier: float, *, seed: int = 1, added: float = 1.0, scale: float = 1.0, **settings: Any
) -> Reading:
    """An audit of Gaussian noise of this multiplier on the sum of a few clients and canaries."""
    canaries = Canaries(SIZE, clip_norm=CLIP, seed=seed, **settings)
    stream = Seed(seed).torch_generator("noise")
    for number in range(ROUNDS):
        honest = torch.randn(SIZE, generator=stream)
        total = honest * 3 * CLIP / honest.norm() + added * canaries.total(number)
        noise = torch.randn(SIZE, generator=stream)
        canaries.hear(number, scale * (total + multiplier * CLIP * noise))
    return canaries.result()


def true_epsilon(multiplier: float) -> float:
    return epsilon_at(math.sqrt(ROUNDS) / multiplier, DELTA)


def test_what_is_added_is_the_canaries_that_are_in() -> None:
    canaries = Canaries(SIZE, clip_norm=CLIP, seed=3, count=50)
    vectors = list(canaries.vectors(7))
    assert len(vectors) == canaries.inserted.sum()
    assert torch.stack(vectors).norm(dim=1).numpy() == pytest.approx(CLIP, rel=1e-5)
    assert torch.allclose(torch.stack(vectors).sum(0), canaries.total(7), atol=1e-5)
    assert not torch.allclose(canaries.total(7), canaries.total(8))


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few at a time are scored as they were added."""
    monkeypatch.setattr("privaudit.canaries.canaries.BLOCK", 7 * SIZE)
    canaries = Canaries(SIZE, clip_norm=CLIP, seed=3, count=50)
    canaries.hear(0, canaries.total(0))
    found = canaries.record()
    inside = [s for s, there in zip(found.scores, found.inserted, strict=True) if there]
    outside = [s for s, there in zip(found.scores, found.inserted, strict=True) if not there]
    assert sum(inside) / len(inside) == pytest.approx(1.0, abs=0.2)
    assert abs(sum(outside) / len(outside)) < 0.2


def test_intervals_cover_through_real_directions() -> None:
    """A true μ of 1; other canaries and the honest sum take 2 % of it off this reader."""
    found = [audited(2.0, seed=seed, count=100) for seed in range(100)]
    cap = math.sqrt(ROUNDS / (4 + (50 + 9) / SIZE))
    covered = sum(one.mu.low <= cap <= one.mu.high for one in found)
    assert covered >= 95 - 3 * math.sqrt(100 * 0.95 * 0.05)
    assert all(one.bound <= true_epsilon(2.0) for one in found)
    came = sum(one.came.low <= 1 <= one.came.high for one in found)
    assert came >= 95 - 3 * math.sqrt(100 * 0.95 * 0.05)


def test_what_is_claimed_is_consistent_and_a_quarter_of_the_noise_refuted() -> None:
    claim = {"claimed_epsilon": true_epsilon(8.0), "delta": DELTA, "count": 1000}
    honest, weak = audited(8.0, **claim), audited(2.0, **claim)
    assert (honest.verdict, honest.found) == ("consistent", False)
    assert honest.cap == pytest.approx(true_epsilon(8.0), rel=0.05)
    assert (weak.verdict, weak.found, weak.excluded) == ("refuted", True, False)
    assert weak.bound > claim["claimed_epsilon"]
    assert "is refuted" in in_words([weak])


def test_headroom_excludes_a_leak_above_the_claim() -> None:
    wide = {"count": 200, "clients": 3, "delta": DELTA}
    assert audited(8.0, claimed_epsilon=3.0, **wide).excluded
    assert not audited(8.0, claimed_epsilon=true_epsilon(8.0), **wide).excluded


def test_an_estimate_above_the_claim_is_found_where_the_bound_is_not_enough() -> None:
    found = audited(0.5, claimed_epsilon=4.9, delta=DELTA)
    assert (found.verdict, found.found) == ("estimate above the claim", True)
    assert found.bound < 4.9 < found.epsilon.low


@pytest.mark.parametrize(("added", "scale"), [(0.0, 1.0), (1.0, 5.0), (1.0, 0.1)])
def test_canaries_that_did_not_arrive_are_no_good_news(added: float, scale: float) -> None:
    found = audited(1.0, added=added, scale=scale, claimed_epsilon=4.0, delta=DELTA)
    assert (found.verdict, found.excluded) == ("void", False)


def test_a_reader_that_sees_less_than_is_claimed_cannot_say() -> None:
    """In few dimensions the canaries hide each other."""
    canaries = Canaries(
        20, clip_norm=1.0, seed=1, count=1000, claimed_epsilon=5.0, delta=DELTA, guesses=1000
    )
    canaries.hear(0, canaries.total(0))
    found = canaries.result()
    assert found.sight is not None
    assert found.sight < 5.0
    assert (found.verdict, found.excluded) == ("cannot say", False)


def test_part_of_a_canary_that_is_never_shared_is_not_awaited() -> None:
    def half(vector: Tensor, seed: Seed) -> Tensor:
        keep = torch.rand(len(vector), generator=seed.torch_generator("half")) < 0.5
        return vector * keep

    canaries = Canaries(SIZE, clip_norm=CLIP, seed=1, carry=half)
    canaries.hear(0, canaries.total(0))
    assert canaries.record().carried == pytest.approx(0.5, abs=0.02)
    assert canaries.result().came.value == pytest.approx(1.0, abs=0.1)


def test_a_mean_has_a_weight() -> None:
    whole, mean = (Canaries(SIZE, clip_norm=CLIP, seed=1) for _ in range(2))
    whole.hear(0, whole.total(0))
    mean.hear(0, mean.total(0) / 9, weight=1 / 9)
    assert mean.record().scores == pytest.approx(whole.record().scores, abs=1e-4)


def test_records_come_back_and_are_read_alike() -> None:
    canaries = Canaries(SIZE, clip_norm=CLIP, seed=1)
    canaries.hear(0, canaries.total(0))
    text = canaries.record().model_dump_json()
    assert read_record(CanaryRecord.model_validate_json(text)) == canaries.result()
    json.dumps(canaries.result().as_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 5}, "canaries: must be 20 to 1,000,000, got 5"),
        ({"guesses": 0}, "guesses: 0 guesses about 1000 canaries; use 1 to 1000"),
        ({"guesses": 1001}, "guesses: 1001 guesses about 1000"),
        ({"claimed_epsilon": 1.0}, "claimed at which δ"),
        ({"claimed_epsilon": -1.0, "delta": DELTA}, "must be above 0 and finite"),
        ({"claimed_epsilon": math.nan, "delta": DELTA}, "must be above 0 and finite"),
        ({"delta": 1.0}, "must be in"),
        ({"delta": 0.2, "clients": 5}, "0.2 is not below 1/n for n = 5 clients"),
        ({"claimed_epsilon": 8.0, "delta": DELTA}, "exceed ε = 5.78.*--canaries 12977"),
        ({"claimed_epsilon": 3.0, "delta": DELTA, "guesses": 5}, "use more --guesses"),
        ({"claimed_epsilon": 20.0, "delta": DELTA}, "no number of canaries up to a million"),
        ({"clip_norm": math.inf}, "without a bound on what one client adds"),
        ({"size": 0}, "size: must be at least 1"),
    ],
)
def test_what_no_audit_can_be_made_of(settings: dict[str, Any], message: str) -> None:
    given = {"size": SIZE, "clip_norm": CLIP, "seed": 1} | settings
    with pytest.raises(UserError, match=message):
        Canaries(given.pop("size"), **given)


def test_what_cannot_be_heard() -> None:
    canaries = Canaries(SIZE, clip_norm=CLIP, seed=1)
    with pytest.raises(UserError, match="no round was heard"):
        canaries.result()
    with pytest.raises(UserError, match=r"round 2: the aggregate is \(3,\), canaries are \(500,\)"):
        canaries.hear(2, torch.zeros(3))
    with pytest.raises(UserError, match="round 0: the aggregate is not finite"):
        canaries.hear(0, torch.full((SIZE,), math.nan))
    with pytest.raises(UserError, match="weight: must be above 0"):
        canaries.hear(0, torch.zeros(SIZE), weight=0.0)
    canaries.hear(0, torch.zeros(SIZE))
    with pytest.raises(UserError, match="round 0: was heard before"):
        canaries.hear(0, torch.zeros(SIZE))
