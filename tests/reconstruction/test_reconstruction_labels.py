"""Labels counted in the last layer, and what counts as counted."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from privaudit.attack.reconstruction import Rebuilding
from privaudit.engine.engine import Engine, LocalRule, Samples
from privaudit.errors import UserError
from privaudit.evaluation.counted_labels import likely_labels, overlap
from privaudit.evaluation.rebuilding import NUMBER, guessed, measured
from privaudit.models.mlp import MLP
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.schema import LABELS
from privaudit_attacks.reconstruction.labels import LabelCounts

CLASSES, FEATURES, LR = 5, 12, 0.1


def test_overlap_counts_each_label_as_often_as_it_is_there() -> None:
    assert overlap(np.array([1, 1, 2, 3]), np.array([1, 2, 2, 3])) == 0.75
    assert overlap(np.array([1, 1]), np.array([3, 1, 1, 1])) == 1.0
    assert overlap(np.array([1, 2]), np.array([])) == 0.0


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6))
def test_no_answer_by_frequencies_alone_is_expected_to_hold_more(
    seed: int, batch: int, most: int
) -> None:
    own = np.random.default_rng(seed).zipf(1.6, 40) % 3
    share = np.bincount(own, minlength=3) / len(own)

    def expected(answer: np.ndarray) -> float:
        batches = list(itertools.product(range(3), repeat=batch))
        return sum(np.prod(share[list(b)]) * overlap(np.array(b), answer) for b in batches)

    guess = likely_labels(own, 3, batch, most)
    assert len(guess) <= most
    others = itertools.combinations_with_replacement(range(3), most)
    assert expected(guess) >= max(expected(np.array(o)) for o in others) - 1e-9


def test_answers_are_judged_beside_a_guess() -> None:
    truth = [np.array([0, 0, 1]), np.array([2, 3, 3])]
    guess = guessed(LABELS, truth, np.array([0, 1, 2]), np.ones(1), np.random.default_rng(0))
    assert guess == {NUMBER: [2 / 3, 1 / 3]}
    found = measured(LABELS, truth, [[[0.0], [0.0], [3.0]], []], guess, np.ones(1))
    assert found.measure == LABELS
    assert found.shares == [[2 / 3, 0.0], [1 / 3, 0.0]]
    assert found.answered == [3, 0]


def engine_of(head: nn.Module | None = None) -> Engine:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if head is None:
            return Engine(MLP(CLASSES, FEATURES, hidden=[16]))
        return Engine(nn.Sequential(nn.Linear(FEATURES, 8), nn.ReLU(), head))


def play(
    engine: Engine, batch: int, clients: int, *, sent: float = 1.0, seed: int = 0
) -> tuple[Observation, Rebuilding, np.ndarray]:
    """One round; client 0 listens. Also the labels of everybody else."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((batch * clients + 100, FEATURES)).astype(np.float32)
    samples = Samples.of(inputs, rng.integers(0, CLASSES, len(inputs)))
    parts = np.arange(batch * clients).reshape(clients, batch)
    deltas: list[Tensor] = []
    for client, part in enumerate(parts):
        trained = engine.train(
            engine.initial, samples, [part], rule=LocalRule(LR, 0.0), seed=Seed(client)
        )
        least = torch.quantile(trained.delta.abs(), 1 - sent)
        deltas.append(torch.where(trained.delta.abs() >= least, trained.delta, 0.0))
    mean = torch.stack(deltas).mean(0)
    seen = Observation(0, engine.initial, mean, deltas[0], 1 / clients, clients, precision=2**-23)
    rule = "all" if sent == 1.0 else "largest"
    rules = Rules(
        participants=clients, batch_size=batch, lr=LR, shared_fraction=sent, sharing_rule=rule
    )
    own = Samples(samples.inputs[parts.size :], samples.labels[parts.size :])
    truth = samples.labels[parts[1:].ravel()].numpy()
    return seen, Rebuilding(engine, own, rules, Seed(9), classes=CLASSES), np.sort(truth)


@pytest.mark.parametrize(("batch", "clients", "sent"), [(1, 2, 1.0), (4, 3, 1.0), (1, 2, 0.5)])
def test_at_initial_weights_labels_are_counted(batch: int, clients: int, sent: float) -> None:
    found = []
    for seed in range(8):
        seen, known, truth = play(engine_of(), batch, clients, sent=sent, seed=seed)
        attack = LabelCounts(seed=Seed(1))
        attack.check(known)
        attack.listen(seen, known)
        (answer,) = known.checked(attack.answer(), 1)
        assert len(answer) == batch * (clients - 1)
        found.append(overlap(truth, np.array(answer).ravel()))
    assert np.mean(found) >= 0.9


def test_answers_that_are_no_labels_are_refused() -> None:
    _, known, _ = play(engine_of(), 2, 2)
    assert known.checked([np.array([4, 4])], 1) == [[[4.0], [4.0]]]
    for answer, said in [
        ([np.array([0, 1, 2])], "3 labels for round 0, 0 of them no whole .* at most 2"),
        ([np.array([0.5])], "1 of them no whole number from 0 to 4"),
        ([np.array([5])], "1 of them no whole number from 0 to 4"),
        ([np.array([np.nan])], "1 of them no whole number"),
        ([["a"]], "not labels"),
    ]:
        with pytest.raises((TypeError, ValueError), match=said):
            known.checked(answer, 1)


def test_models_without_a_last_layer_that_counts_are_refused() -> None:
    _, known, _ = play(engine_of(), 2, 2)
    gated = nn.Sequential(nn.Linear(8, 2 * CLASSES), nn.GLU())
    for head, said in [
        (gated, "no dense layer that its logits come from; .* or leave 'label-counts' out"),
        (nn.Linear(8, CLASSES, bias=False), "nobody trains '2.bias'"),
    ]:
        with pytest.raises(UserError, match=said):
            LabelCounts(seed=Seed(1)).check(replace(known, engine=engine_of(head)))
