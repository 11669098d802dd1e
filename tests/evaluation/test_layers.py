"""Which layer leaks: found where it was put, chance where nothing was, equal to refitting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.evaluation.layers import (
    ALL,
    LEAST_COORDINATES,
    MOST_COORDINATES,
    RIDGE,
    cells_for_layers,
    coordinates_of,
    pair_out_scores,
    parse_layers,
    signal_by_layer,
)
from privaudit.observation.views import Observation
from privaudit.scenario.load import load_scenario
from privaudit.statistics.intervals import auc_interval
from privaudit.statistics.roc import auc
from privaudit.statistics.runs import RunScores

LAYOUT = Layout.of([("first.weight", (6, 5)), ("first.bias", (6,)), ("last.weight", (4, 6))])
SIZE = LAYOUT.size


@dataclass(frozen=True)
class World:
    """Rounds as a participant sees them, and the truth."""

    rounds: list[Observation]
    present: np.ndarray

    def aucs(self) -> dict[str, float]:
        found = signal_by_layer(self.rounds, self.present.tolist(), LAYOUT)
        return {name: auc(s, self.present) for name, s in found.items() if s is not None}


def world(seed: int, *, scale: float = 1.0, layer: slice = slice(0, 36), rounds: int = 40) -> World:
    """Normal signals; where the property is there, one layer is ``scale`` times as large."""
    rng = np.random.default_rng(seed)
    present = rng.permutation(np.arange(rounds) < rounds // 2)
    signals = rng.standard_normal((rounds, SIZE)).astype(np.float32)
    signals[present, layer] *= scale
    return World([observed(number, signal) for number, signal in enumerate(signals)], present)


def observed(number: int, signal: np.ndarray) -> Observation:
    """A round whose ``signal`` is this: the adversary sent nothing."""
    return Observation(
        round=number,
        before=torch.zeros(len(signal)),
        global_delta=torch.from_numpy(signal),
        own_delta=torch.zeros(len(signal)),
        own_weight=0.0,
        participants=1,
    )


def test_the_layer_that_leaks_is_found_and_the_other_is_not() -> None:
    found = [world(seed, scale=3.0).aucs() for seed in range(8)]
    mean = {name: np.mean([one[name] for one in found]) for name in found[0]}
    assert list(mean) == ["first", "last", ALL]
    assert mean["first"] > 0.95
    assert mean[ALL] > 0.9
    assert 0.35 < mean["last"] < 0.65


@pytest.mark.parametrize("rounds", [8, 40])
def test_where_there_is_nothing_the_auc_is_a_half(rounds: int) -> None:
    """Of single rounds left out the mean would be 0.2 with 8 rounds, 0.46 with 40."""
    found = [world(seed, rounds=rounds).aucs() for seed in range(150)]
    for name in found[0]:
        values = np.array([one[name] for one in found])
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert abs(values.mean() - 0.5) < 4 * error + 0.01, name


def test_the_interval_over_runs_holds_a_half_where_there_is_nothing() -> None:
    inside = 0
    for trial in range(60):
        worlds = [world(3 * trial + run) for run in range(3)]
        runs = []
        for one in worlds:
            scores = signal_by_layer(one.rounds, one.present.tolist(), LAYOUT)["first"]
            assert scores is not None
            runs.append(RunScores(scores, one.present))
        interval = auc_interval(runs)
        inside += interval.low <= 0.5 <= interval.high
    # Exactly covering intervals leave out more than 8 of 60 once in 300 times.
    assert inside >= 52


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 6), st.integers(1, 12))
def test_scores_are_those_of_models_fitted_again(seed: int, yes: int, no: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((yes + no, width))
    rows -= rows.mean(axis=0)
    present = rng.permutation(np.arange(yes + no) < yes)
    found = pair_out_scores(rows @ rows.T, present)
    assert np.allclose(found, refitted(rows, present), rtol=1e-6, atol=1e-8)


def refitted(rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Ridge regression without the pair, for every pair; weighted least squares, intercept free.

    The penalised fit of all rounds with a free mean has the hat matrix of :func:`pair_out_scores`
    because the rows are centred; leaving a pair out keeps penalty and centre.
    """
    target = np.where(present, 1.0, -1.0)
    strength = RIDGE * float((rows**2).sum()) / len(rows)
    design = np.column_stack([np.ones(len(rows)), rows])
    penalty = strength * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    scores = np.zeros(len(rows))
    for i in range(len(rows)):
        partners = np.flatnonzero(present != present[i])
        for j in partners:
            kept = np.setdiff1d(np.arange(len(rows)), [i, j])
            normal = design[kept].T @ design[kept] + penalty
            weights = np.linalg.solve(normal, design[kept].T @ target[kept])
            scores[i] += design[i] @ weights / len(partners)
    return scores


def test_a_layer_that_never_moves_says_nothing() -> None:
    made = world(0)
    for one in made.rounds:
        one.global_delta[:36] = 0.0
    found = signal_by_layer(made.rounds, made.present.tolist(), LAYOUT)
    assert found["first"] is not None
    assert not found["first"].any()
    assert found["last"] is not None
    assert found["last"].any()


def test_a_signal_that_is_not_finite_has_no_scores() -> None:
    made = world(0)
    made.rounds[3].global_delta[7] = torch.nan
    assert set(signal_by_layer(made.rounds, made.present.tolist(), LAYOUT).values()) == {None}


def test_one_round_of_a_kind_is_too_few() -> None:
    made = world(0)
    with pytest.raises(ValueError, match="two rounds of each kind"):
        signal_by_layer(made.rounds, [True] + [False] * 39, LAYOUT)


def test_layers_are_modules_and_large_ones_are_represented() -> None:
    layout = Layout.of(
        [("a.weight", (10**6,)), ("a.bias", (3,)), ("b.c.weight", (5,)), ("d", (2,))]
    )
    found = coordinates_of(layout)
    assert list(found) == ["a", "b.c", "d"]
    assert len(found["a"]) == MOST_COORDINATES // 3
    assert found["a"][0] == 0
    assert found["a"][-1] == 10**6 + 2
    assert (np.diff(found["a"]) > 0).all()
    assert found["b.c"].tolist() == list(range(10**6 + 3, 10**6 + 8))
    deep = Layout.of([(f"layer{n}.weight", (100,)) for n in range(5000)])
    assert {len(part) for part in coordinates_of(deep).values()} == {LEAST_COORDINATES}


def test_one_cell_for_each_run_and_property() -> None:
    overrides = ["runs=2", "audit.participants=[3, 9]", "audit.rules=['largest', 'random']"]
    cells = cells_for_layers(load_scenario("quickstart", overrides))
    assert [(c.run, c.property) for c in cells] == [
        (run, name) for run in range(2) for name in ("bold", "italic", "serif")
    ]
    assert {(c.rule, c.fraction, c.participants) for c in cells} == {("all", 1.0, 3)}
    assert cells_for_layers(load_scenario("quickstart", ["audit.schedule=dataset", "runs=4"])) == []


def test_a_line_that_is_no_layer_is_named() -> None:
    with pytest.raises(UserError, match="line 2 is no layer"):
        parse_layers([GOOD, GOOD | {"layer": 3}], where="layers.jsonl")


GOOD = {
    "run": 0,
    "property": "bold",
    "rule": "all",
    "fraction": 1.0,
    "participants": 5,
    "layer": "hidden",
    "parameters": 10,
    "scores": [0.5],
    "present": [True],
}
