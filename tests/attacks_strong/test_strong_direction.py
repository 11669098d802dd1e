"""The linear attack as a member, where the steps of clients have one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from privaudit.attack.adversary import ShadowRound
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.statistics.roc import auc
from privaudit_attacks import magnitude_stack
from privaudit_attacks.direction import Direction, of_one_size
from privaudit_attacks.magnitude_stack import MagnitudeStack
from privaudit_attacks.simulation import StandIns
from privaudit_attacks.stacking import MemberScores, combine

SIZE, K = 40, 3


def signs(n: int, shift: float, rng: torch.Generator) -> torch.Tensor:
    """[n, P] steps of one size, of which the first half go up the more often."""
    towards = torch.randn(n, SIZE, generator=rng)
    towards[:, : SIZE // 2] += shift
    return 0.005 * towards.sign()


DRAWN = torch.randn(8, 5000, generator=torch.Generator().manual_seed(1))
FEW = torch.rand(8, 5000, generator=torch.Generator().manual_seed(2)) < 0.1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (DRAWN, False),
        (DRAWN.sign(), True),
        (DRAWN.sign() * FEW, True),
        (DRAWN.sign() + 0.05 * DRAWN, True),
        (DRAWN.relu(), False),
        (DRAWN.sign() * torch.linspace(0.8, 1.2, 8)[:, None], False),  # signs, a size each
        (torch.arange(1.0, 9).view(8, 1), False),  # a model of one parameter
        (torch.zeros(8, 10), False),
    ],
)
def test_one_size_is_seen_in_the_shadows(rows: torch.Tensor, *, expected: bool) -> None:
    assert of_one_size(rows) is expected


def member(shift: float, *, offset: float = 0.0, rounds: int = 60) -> tuple[MemberScores, float]:
    """The member, and its AUC over what was seen; each round has a mean of its own."""
    rng, numpy_rng = torch.Generator().manual_seed(3), np.random.default_rng(4)
    halves, labels = np.arange(8) % 2, np.repeat([True, False], 4)
    truth, kept = np.arange(rounds) % 2 == 0, range(rounds - 20, rounds)
    direction = Direction(640, Seed(5))
    for number in range(rounds):
        mean = 0.05 * torch.randn(SIZE, generator=rng)
        absent = signs(8, 0.0, rng) + mean
        shadow = ShadowRound(signs(8, shift, rng) + mean, absent, absent, K, halves)
        rows = torch.cat([signs(4, shift, rng), signs(4, 0.0, rng)]) + K * mean + offset
        stand_ins = StandIns(rows + signs(8, 0.0, rng) + signs(8, 0.0, rng), labels, halves)
        seen = signs(1, shift * bool(truth[number]), rng) + signs(2, 0.0, rng).sum(0) + K * mean
        direction.add(shadow, (stand_ins, stand_ins), seen, kept, numpy_rng)
    n = len(kept)
    found = direction.member(np.tile(labels, n), np.tile(halves, n))
    assert found.held_out.shape == (8 * n,)
    assert found.signed
    return found, auc(found.observed, truth)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_it_tells_which_way_parameters_go(offset: float) -> None:
    """The optimum: d of a parameter .95 by sqrt(2.5), times sqrt(20), so 2.7, and an AUC of .97."""
    found, area = member(2.0, offset=offset)
    assert area > 0.9
    assert auc(found.held_out, np.tile(np.repeat([True, False], 4), 20)) > 0.85


def test_nothing_is_told_where_nothing_moves_nor_promised() -> None:
    """160 stand-ins of 20 rounds, 60 rounds seen: deviations of .046 and .075 of blind scores."""
    found, area = member(0.0)
    assert abs(area - 0.5) < 4 * 0.075
    assert abs(auc(found.held_out, np.tile(np.repeat([True, False], 4), 20)) - 0.5) < 4 * 0.046


@pytest.mark.parametrize("one_size", [True, False])
def test_the_stack_has_one_more_signed_member_where_steps_have_one_size(
    monkeypatch: pytest.MonkeyPatch, *, one_size: bool
) -> None:
    """Beside signed roots and the linear part of second moments; d about 2.7."""
    signed = []

    def counting(members: list[MemberScores], *rest: Any, **named: Any) -> np.ndarray:
        signed.append(sum(one.signed for one in members))
        return combine(members, *rest, **named)

    monkeypatch.setattr(magnitude_stack, "combine", counting)
    rng = torch.Generator().manual_seed(8)
    layout = Layout.of([("weight", (5, 8))])
    attack = MagnitudeStack(seed=Seed(9))
    truth = np.arange(40) % 2 == 0

    def sent(n: int, shift: float) -> torch.Tensor:
        rows = signs(n, shift, rng)
        return rows if one_size else rows * torch.rand(n, SIZE, generator=rng)

    zero = torch.zeros(SIZE)
    for number, present in enumerate(truth):
        absent = sent(8, 0.0)
        halves = np.arange(8) % 2
        shadow = ShadowRound(sent(8, 2.0), absent, absent, K, halves)
        summed = (sent(1, 2.0 * bool(present)) + sent(2, 0.0).sum(0))[0]
        attack.partial_fit(Observation(number, zero, summed / K, zero, 0.0, K), shadow, layout)
    assert auc(attack.score(), truth) > 0.8
    assert signed == [3 if one_size else 2]
