"""Stand-ins are the sums they claim to be, seen as the observation was seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from privaudit.attack.adversary import ShadowRound
from privaudit.observation.views import Observation
from privaudit_attacks.simulation import Simulator, resolved

SIZE = 12


def observed(
    number: int, honest: torch.Tensor, own: torch.Tensor, participants: int
) -> Observation:
    """As the server of this project averages: weighted sums, then one division."""
    total = (32 * honest + 32 * own) / (32 * participants)
    return Observation(
        round=number,
        before=torch.zeros(len(honest)),
        global_delta=total,
        own_delta=own,
        own_weight=1 / participants,
        participants=participants,
    )


def one_hot(kind: int, rows: int, offset: int = 0) -> torch.Tensor:
    """Row i marks coordinate ``offset + i``; the size tells which kind it is of."""
    marks = torch.zeros(rows, SIZE)
    for row in range(rows):
        marks[row, offset + row] = float(10**kind)
    return marks


def shadow(contributors: int, *, shared: bool) -> ShadowRound:
    present, absent = one_hot(0, 4), one_hot(0, 4, offset=4)
    bystanders = absent if shared else one_hot(0, 4, offset=8)
    return ShadowRound(present, absent, bystanders, contributors, np.array([0, 1, 0, 1]))


@pytest.mark.parametrize("contributors", [1, 2, 4])
@pytest.mark.parametrize("shared", [True, False])
def test_a_stand_in_is_one_target_and_the_bystanders(contributors: int, shared: bool) -> None:
    simulator = Simulator(per_round=4, window=1)
    own = torch.zeros(SIZE)
    given = shadow(contributors, shared=shared)
    mean = given.bystanders.mean(0) * contributors  # what was seen equals the own mean: no shift
    simulator.add(observed(0, mean, own, contributors + 1), given)
    simulated = simulator.next(np.random.default_rng(1))
    sums = simulated.learned.rows
    assert len(sums) == 8
    assert sums.sum(1).numpy() == pytest.approx(contributors, rel=1e-5)
    assert (sums[simulated.learned.present, :4].sum(1) - 1).abs().max() < 1e-5
    assert sums[~simulated.learned.present, :4].abs().max() == 0
    if shared and contributors <= 4:  # a bystander is never the target itself
        assert sums[~simulated.learned.present, 4:8].max() < 1.5
    targets = sums[simulated.learned.present, :4].argmax(1).numpy()
    assert (targets % 2 == simulated.learned.halves[simulated.learned.present]).all()


@pytest.mark.parametrize("shared", [True, False])
def test_the_members_of_a_pair_differ_in_their_targets_alone(shared: bool) -> None:
    simulator = Simulator(per_round=4, window=3)
    given = shadow(9, shared=shared)
    for number in range(3):
        simulator.add(observed(number, torch.zeros(SIZE), torch.zeros(SIZE), 10), given)
    simulated = simulator.next(np.random.default_rng(2))
    present, absent = simulated.learned.rows[:4], simulated.learned.rows[4:]
    sizes = (present - absent).abs().sort(dim=1).values.numpy()
    assert sizes[:, -2:] == pytest.approx(1.0, abs=1e-4)  # one unit more, another one less
    assert np.abs(sizes[:, :-2]).max() < 1e-4
    assert (simulated.learned.halves[:4] == simulated.learned.halves[4:]).all()


def test_bystanders_come_from_the_window_and_from_nowhere_else() -> None:
    """Each round marks a coordinate of its own."""
    simulator = Simulator(per_round=2, window=3)
    for number in range(6):
        mark = torch.zeros(4, 6)
        mark[:, number] = 1.0
        given = ShadowRound(torch.zeros(4, 6), torch.zeros(4, 6), mark, 41, persistent=True)
        simulator.add(observed(number, torch.zeros(6), torch.zeros(6), 42), given)
        while simulator.ready():
            sums = simulator.next(np.random.default_rng(number)).learned.rows
    moved = (sums > 0.5).any(0)
    assert moved.tolist() == [False, False, False, True, True, True]
    assert sums.sum(1).numpy() == pytest.approx(40, rel=1e-5)


def test_targets_of_a_half_have_that_half() -> None:
    simulator = Simulator(per_round=4, window=1)
    given = shadow(1, shared=True)
    simulator.add(observed(0, torch.zeros(SIZE), torch.zeros(SIZE), 2), given)
    simulated = simulator.next(np.random.default_rng(1))
    for row, present, half in zip(
        simulated.learned.rows, simulated.learned.present, simulated.learned.halves, strict=True
    ):
        pool = given.present if present else given.absent
        (number,) = np.flatnonzero([torch.allclose(row, vector) for vector in pool])
        assert given.halves is not None
        assert given.halves[number] == half


def test_rounding_leaves_exact_zeros_in_both() -> None:
    """Whatever order the server adds in, an untouched coordinate is zero, others are not."""
    rng = torch.Generator().manual_seed(1)
    honest = torch.randn(4000, generator=rng) * 1e-3
    honest[::2] = 0
    own = torch.randn(4000, generator=rng) * 1e-3
    seen = observed(0, honest, own, 7)
    assert (seen.signal[::2] != 0).float().mean() > 0.1, "nothing to clean up"
    (cleaned,) = resolved(seen, seen.signal.unsqueeze(0))
    assert (cleaned[::2] == 0).all()
    assert (cleaned[1::2] != 0).float().mean() > 0.99


def test_the_mean_of_what_was_seen_replaces_the_own_mean() -> None:
    rng = torch.Generator().manual_seed(2)
    simulator = Simulator(per_round=8, window=4)
    for number in range(4):
        absent = 5.0 + torch.randn(8, SIZE, generator=rng)  # the own records lean to one side
        present = 5.0 + torch.randn(8, SIZE, generator=rng)
        given = ShadowRound(present, absent, absent, 10, np.arange(8) % 2)
        simulator.add(observed(number, torch.zeros(SIZE), torch.zeros(SIZE), 11), given)
    sums = torch.cat([simulator.next(np.random.default_rng(n)).learned.rows for n in range(4)])
    assert sums.mean(0).abs().max() < 2.0  # 50 without alignment


def test_rounds_come_out_in_order_and_all_of_them() -> None:
    simulator = Simulator(per_round=2, window=4)
    values = []
    for number in range(9):
        honest = torch.full((SIZE,), float(number + 1))
        simulator.add(observed(number, honest, torch.zeros(SIZE), 4), shadow(3, shared=True))
        while simulator.ready():
            values.append(simulator.next(np.random.default_rng(number)).observed)
    assert len(values) == 7  # half a window behind
    while simulator:
        values.append(simulator.next(np.random.default_rng(0)).observed)
    assert [round(float(v[0, 0] / 3), 4) for v in values] == pytest.approx(
        [(n + 1) / 3 for n in range(9)], abs=1e-3
    )


def test_without_halves_shadows_take_turns() -> None:
    simulator = Simulator(per_round=4, window=1)
    given = ShadowRound(one_hot(0, 4), one_hot(0, 4, 4), one_hot(0, 4, 8), 1)
    simulator.add(observed(0, torch.zeros(SIZE), torch.zeros(SIZE), 2), given)
    assert set(simulator.next(np.random.default_rng(1)).learned.halves) == {0, 1}


def test_what_weighs_members_is_of_one_half_bystanders_and_all() -> None:
    """Coordinate i stands for shadow i, whatever its kind; its half is i mod 2."""
    simulator = Simulator(per_round=4, window=3, tested=4)
    marks = torch.eye(6)
    for number in range(3):
        given = ShadowRound(marks, marks.clone(), marks.clone(), 9, np.arange(6) % 2, True)
        simulator.add(observed(number, torch.zeros(6), torch.zeros(6), 10), given)
    made = simulator.next(np.random.default_rng(3))
    tested = made.tested
    assert tested is not None
    of_half = torch.stack([tested.rows[:, ::2].sum(1), tested.rows[:, 1::2].sum(1)], 1).numpy()
    assert of_half[np.arange(len(of_half)), tested.halves] == pytest.approx(9.0)
    assert (made.learned.rows[:, ::2].sum(1) - 4.5).abs().max() < 4.5, "else the test says nothing"
    alone = Simulator(per_round=4, window=1)
    alone.add(observed(0, torch.zeros(SIZE), torch.zeros(SIZE), 2), shadow(1, shared=True))
    assert alone.next(np.random.default_rng(1)).tested is None
