"""What deltas are worth: to whoever sends what all know already, nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ledger_runs import run_command

from privaudit.custody.valuation import (
    STEPS_KNOWN,
    LeaveOneOut,
    Novelty,
    Sent,
    Valuation,
    alignment,
    leave_one_out,
    valuation_of,
)
from privaudit.engine.engine import Samples
from privaudit.errors import UserError
from privaudit.federation.rewards import MILLION, VALUED
from privaudit.randomness import Seed
from privaudit.scenario.load import load_scenario
from privaudit.world import load_world

SIZE = 200


def played(rule: Valuation, stale: bool, rounds: int = 8, seed: int = 0) -> np.ndarray:
    """[rounds, 4] values; the last client sends a mixture of the model's steps so far."""
    rng = torch.Generator().manual_seed(seed)
    common = torch.randn(SIZE, generator=rng)
    before, steps, found = torch.zeros(SIZE), [], []
    for _ in range(rounds):
        fresh = 0.3 * torch.randn(SIZE, generator=rng)
        deltas = {k: common + fresh + torch.randn(SIZE, generator=rng) for k in range(4)}
        if stale and steps:
            mixture = torch.rand(len(steps), generator=rng)
            deltas[3] = sum(m * s for m, s in zip(mixture, steps, strict=True))
        mean = sum(deltas.values()) / 4
        values = rule(Sent(before, deltas, dict.fromkeys(deltas, 0.25), mean))
        found.append([values[k] for k in range(4)])
        after = before + mean
        steps.append(after - before)
        before = after
    return np.array(found)


@given(st.integers(0, 30))
def test_who_sends_the_steps_of_the_model_sends_nothing_new(seed: int) -> None:
    worth = played(Novelty(), stale=True, seed=seed)
    assert (worth[1:, 3] == 0).all()
    assert (worth[1:, :3].mean(0) > 0).all()


def test_alignment_pays_for_them() -> None:
    worth = played(alignment, stale=True)
    assert worth[1:, 3].mean() > 0.3 * worth[1:, :3].mean()


def test_in_the_first_round_all_is_new() -> None:
    assert (played(Novelty(), False, 1) == played(alignment, False, 1)).all()


def test_of_more_rounds_than_are_known_the_oldest_are_new_again() -> None:
    rule = Novelty()
    played(rule, stale=False, rounds=STEPS_KNOWN + 5)
    assert len(rule._steps) == STEPS_KNOWN


def test_leaving_one_out_by_hand() -> None:
    """A quadratic loss: a step towards its minimum is worth something, one away from it harm."""
    minimum, before = torch.ones(3), torch.zeros(3)

    def loss(at: torch.Tensor) -> float:
        return float(((at - minimum) ** 2).sum())

    found = leave_one_out(loss, before, {0: minimum, 1: -minimum}, {0: 0.5, 1: 0.5})
    assert found == {0: 12.0 - 3.0, 1: 0.0 - 3.0}
    assert leave_one_out(loss, before, {0: minimum}, {0: 1.0}) == {0: 0.0}


def test_held_out_records_tell_work_from_a_random_direction() -> None:
    world = load_world(load_scenario("public-ledger", ["data.records=600"]).model_dump_json(), None)
    engine, held = world.engine(0), world.deal(0).training
    test = world.samples.chosen(held.test)
    rule = valuation_of("leave-one-out", lambda: (world.engine(0), test))
    assert isinstance(rule, LeaveOneOut)
    samples, before = world.samples, engine.initial
    gradients = engine.gradients(before, samples, list(held.clients[:4]), Seed(1))
    deltas = {k: -0.1 * gradients[k] for k in range(4)}
    noise = torch.randn(len(before), generator=torch.Generator().manual_seed(1))
    deltas[4] = noise * deltas[0].norm() / noise.norm()
    values = rule(Sent(before, deltas, dict.fromkeys(deltas, 0.2), before))
    assert min(values[k] for k in range(4)) > values[4]
    assert all(0 <= value <= MILLION for value in values.values())


def test_every_rule_that_asks_for_values_has_them_told() -> None:
    empty = Samples.of(np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64))
    world = load_world(load_scenario("public-ledger", ["data.records=600"]).model_dump_json(), None)
    assert valuation_of("samples", lambda: (world.engine(0), empty)) is None
    for rule in VALUED - {"leave-one-out"}:
        assert valuation_of(rule, lambda: (world.engine(0), empty)) is not None
    with pytest.raises(UserError, match="needs held-out records"):
        valuation_of("leave-one-out", lambda: (world.engine(0), empty))


@pytest.mark.parametrize("rule", sorted(VALUED))
def test_a_run_pays_by_it_and_is_verified(rule: str, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    small = (
        "runs=1",
        "data.records=600",
        "audit.rounds=4",
        "public_ledger=null",
        "model.name='mlp'",
    )
    given = [part for one in (*small, f"ledger.reward={rule}") for part in ("--set", one)]
    assert run_command("run", "public-ledger", "--out", out, *given) == 0
    assert run_command("verify", out) == 0
