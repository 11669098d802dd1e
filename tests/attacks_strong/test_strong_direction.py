"""The linear attack as a member, where the steps of clients have one size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from privaudit.attack.adversary import ShadowRound
from privaudit.randomness import Seed
from privaudit.statistics.roc import auc
from privaudit_attacks.direction import Direction, of_one_size
from privaudit_attacks.simulation import StandIns
from privaudit_attacks.stacking import MemberScores

SIZE, K = 40, 3


def signs(n: int, shift: float, rng: torch.Generator) -> torch.Tensor:
    """[n, P] steps of one size, of which the first half go up the more often."""
    towards = torch.randn(n, SIZE, generator=rng)
    towards[:, : SIZE // 2] += shift
    return 0.005 * towards.sign()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (torch.randn(8, 5000), False),
        (torch.randn(8, 5000).sign(), True),
        (torch.randn(8, 5000).sign() * (torch.rand(8, 5000) < 0.1), True),
        (torch.randn(8, 5000).sign() + 0.05 * torch.randn(8, 5000), True),
        (torch.randn(8, 5000).relu(), False),
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


def test_nothing_is_told_where_nothing_moves() -> None:
    """60 rounds, 30 of each: the AUC of a blind score has a deviation of .075."""
    assert abs(member(0.0)[1] - 0.5) < 4 * 0.075
