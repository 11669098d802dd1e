"""What deltas are worth: to whoever sends what all know already, nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ledger_runs import run_command

from privaudit.custody.folder import RunFolder
from privaudit.custody.valuation import (
    STEPS_KNOWN,
    AlignedNovelty,
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
from privaudit.verify.files import Subject, check_book
from privaudit.world import load_world

SIZE = 200
Last = Literal["honest", "rider", "harm"]


def played(rule: Valuation, last: Last = "honest", rounds: int = 8, seed: int = 0) -> np.ndarray:
    """[rounds, 4] values; of the last client it is said what it sends.

    A rider sends a mixture of the model's steps so far; harm goes against where all others go, and
    has the round's own part in common with them.
    """
    rng = torch.Generator().manual_seed(seed)
    common = torch.randn(SIZE, generator=rng)
    before, steps, found = torch.zeros(SIZE), [], []
    for _ in range(rounds):
        fresh = 0.7 * torch.randn(SIZE, generator=rng)
        deltas = {k: common + fresh + torch.randn(SIZE, generator=rng) for k in range(4)}
        if last == "rider" and steps:
            mixture = torch.rand(len(steps), generator=rng)
            deltas[3] = sum(m * s for m, s in zip(mixture, steps, strict=True))
        if last == "harm":
            deltas[3] -= 2 * common
        mean = sum(deltas.values()) / 4
        values = rule(Sent(before, deltas, dict.fromkeys(deltas, 0.25), mean))
        found.append([values[k] for k in range(4)])
        after = before + mean
        steps.append(after - before)
        before = after
    return np.array(found)


@pytest.mark.parametrize("rule", [Novelty, AlignedNovelty])
@given(seed=st.integers(0, 30))
def test_who_sends_the_steps_of_the_model_sends_nothing_new(
    rule: Callable[[], Valuation], seed: int
) -> None:
    worth = played(rule(), "rider", seed=seed)
    assert (worth[1:, 3] == 0).all()
    assert (worth[1:, :3].mean(0) > 0).all()


def test_alignment_pays_for_them() -> None:
    worth = played(alignment, "rider")
    assert worth[1:, 3].mean() > 0.3 * worth[1:, :3].mean()


@given(st.integers(0, 30))
def test_harm_is_worth_nothing_where_the_whole_delta_counts(seed: int) -> None:
    worth = played(AlignedNovelty(), "harm", seed=seed)
    assert (worth[1:, 3] == 0).all()
    assert (worth[1:, :3].mean(0) > 0).all()


@given(st.integers(0, 30))
def test_novelty_pays_for_harm(seed: int) -> None:
    """Once the way all others go is known, it is the round's own part that counts."""
    worth = played(Novelty(), "harm", rounds=20, seed=seed)
    assert worth[10:, 3].mean() > 0.3 * worth[10:, :3].mean()


@given(st.integers(0, 30), st.sampled_from(get_args(Last)))
def test_aligned_novelty_is_one_times_the_other(seed: int, last: Last) -> None:
    whole, new = (played(rule, last, seed=seed) for rule in (alignment, Novelty()))
    found = played(AlignedNovelty(), last, seed=seed)
    assert (found == whole * new // MILLION).all()
    assert (found >= 0).all()
    assert (found <= np.minimum(whole, new)).all()


def test_in_the_first_round_all_is_new() -> None:
    assert (played(Novelty(), rounds=1) == played(alignment, rounds=1)).all()


def test_of_more_rounds_than_are_known_the_oldest_are_new_again() -> None:
    rule = Novelty()
    played(rule, rounds=STEPS_KNOWN + 5)
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
    folder = RunFolder(Path(out))
    file, *_ = sorted(folder.file("evidence/run-0").glob("bold*.jsonl"))
    rounds = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    best = max((one for row in rounds for one in row["cohort"]), key=lambda one: one["value"])
    best["value"] = 0
    file.write_text("".join(json.dumps(row) + "\n" for row in rounds), "utf-8")
    (wrong,) = check_book(Subject(folder))
    assert f"does not follow from its evidence by rule '{rule}'" in wrong
