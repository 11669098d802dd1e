"""Which layer leaks: found where it was put, chance where nothing was."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from privaudit.attack.adversary import ShadowRound
from privaudit.attack.layers import (
    ALL,
    LEAST_COORDINATES,
    MOST_COORDINATES,
    MOST_EXAMPLES,
    RIDGE,
    AskedByLayer,
    _learned_rounds,
    _scores_by_layer,
    coordinates_of,
    signal_by_layer,
)
from privaudit.custody.folder import RunFolder
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.evaluation.layers import LAYERS, gathered_layers, parse_layers
from privaudit.experiment.tasks import layers_file
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.grid import cells_for_layers
from privaudit.scenario.load import load_scenario
from privaudit.statistics.roc import auc

LAYOUT = Layout.of([("first.weight", (6, 5)), ("first.bias", (6,)), ("last.weight", (4, 6))])
SIZE = LAYOUT.size


@dataclass(frozen=True)
class Shadows:
    """An adversary whose shadow updates are normal, and ``scale`` times as large in one layer."""

    scale: float
    layer: slice
    layout: Layout = LAYOUT
    shadows: int = 8

    def shadow(self, observation: Observation) -> ShadowRound:
        rng = np.random.default_rng([7, observation.round])
        present, absent = rng.standard_normal((2, self.shadows, SIZE)).astype(np.float32)
        present[:, self.layer] *= self.scale
        made = torch.from_numpy(absent)
        return ShadowRound(torch.from_numpy(present), made, made, contributors=1)


@dataclass(frozen=True)
class World:
    """Rounds as a participant sees them, the truth, and what its shadows are like."""

    rounds: list[Observation]
    present: np.ndarray
    adversary: Shadows

    def scores(self) -> dict[str, np.ndarray | None]:
        return signal_by_layer(
            self.rounds,
            self.adversary,  # type: ignore[arg-type]
            count=len(self.rounds),
            seed=Seed(1),
        )

    def aucs(self) -> dict[str, float]:
        return {name: auc(s, self.present) for name, s in self.scores().items() if s is not None}


def world(seed: int, *, scale: float = 1.0, layer: slice = slice(0, 36), rounds: int = 40) -> World:
    """Normal signals; where the property is there, one layer is ``scale`` times as large."""
    rng = np.random.default_rng(seed)
    present = rng.permutation(np.arange(rounds) < rounds // 2)
    signals = rng.standard_normal((rounds, SIZE)).astype(np.float32)
    signals[present, layer] *= scale
    made = [observed(number, signal) for number, signal in enumerate(signals)]
    return World(made, present, Shadows(scale, layer))


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
    found = [world(seed, scale=3.0).aucs() for seed in range(6)]
    mean = {name: np.mean([one[name] for one in found]) for name in found[0]}
    assert list(mean) == ["first", "last", ALL]
    assert mean["first"] > 0.95
    assert mean[ALL] > 0.9
    assert 0.35 < mean["last"] < 0.65


def test_what_differs_between_the_targets_own_records_by_chance_is_not_told() -> None:
    """All rounds of a kind are off in one direction: who learns from labelled rounds told it."""
    found = []
    for seed in range(20):
        made = world(seed)
        offset = 0.6 * np.random.default_rng([9, seed]).standard_normal(SIZE).astype(np.float32)
        for observation, present in zip(made.rounds, made.present, strict=True):
            observation.global_delta[:] += torch.from_numpy(offset) * (1 if present else -1)
        found.append(made.aucs())
    for name in found[0]:
        values = np.array([one[name] for one in found])
        assert abs(values.mean() - 0.5) < 4 * values.std(ddof=1) / np.sqrt(len(values)), name
        assert values.max() < 0.9


def test_scores_are_those_of_a_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    examples, seen = (rng.standard_normal((n, 7)).astype(np.float32) for n in (30, 5))
    examples -= examples.mean(axis=0)
    labels = np.arange(30) % 2 == 0
    picked = {"a": np.arange(4), "b": np.arange(4, 7)}
    scaled = examples / examples.std(axis=0)
    strength = RIDGE * float((scaled**2).sum()) / 30
    normal = scaled.T @ scaled + strength * np.eye(7)
    weights = np.linalg.solve(normal, scaled.T @ np.where(labels, 1.0, -1.0))
    expected = (seen / examples.std(axis=0)) @ weights
    assert np.allclose(_scores_by_layer(examples, labels, seen, picked)[ALL], expected, atol=1e-4)


def test_of_many_rounds_some_are_learned_from_and_all_are_scored() -> None:
    few, many = _learned_rounds(40, 16), _learned_rounds(1000, 16)
    assert few == frozenset(range(40))
    assert len(many) == MOST_EXAMPLES // 16
    assert {0, 999} <= many


def test_a_layer_that_never_moves_says_nothing() -> None:
    made = world(0, scale=0.0)
    for one in made.rounds:
        one.global_delta[:36] = 0.0
    still = replace(made, adversary=Still())
    found = still.scores()
    assert found["first"] is not None
    assert not found["first"].any()
    assert found["last"] is not None
    assert found["last"].any()


class Still(Shadows):
    """Its shadows do not move the first layer at all."""

    def __init__(self) -> None:
        super().__init__(1.0, slice(0, 36))

    def shadow(self, observation: Observation) -> ShadowRound:
        made = super().shadow(observation)
        for deltas in (made.present, made.absent):
            deltas[:, :36] = 0.0
        return made


def test_a_signal_that_is_not_finite_has_no_scores() -> None:
    made = world(0)
    made.rounds[3].global_delta[7] = torch.nan
    assert set(made.scores().values()) == {None}


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


def test_layers_are_gathered_once_and_found_again(tmp_path: Path) -> None:
    """A run that was killed after it had gathered them goes on from the gathered ones."""
    scenario = load_scenario("quickstart", ["runs=3", 'audit.properties=["bold"]'])
    first, second, third = cells_for_layers(scenario)
    folder = RunFolder(tmp_path)
    for cell, scores in ((first, [0.5, -0.25]), (third, None)):
        folder.write_json(f"truth/run-{cell.run}/{cell.name}.json", [True, False])
        folder.write_json(layers_file(cell), [["hidden", 10, scores]])
    gathered = gathered_layers(folder, scenario)
    assert [(row.run, row.scores, row.present) for row in gathered] == [
        (first.run, [0.5, -0.25], [True, False]),
        (third.run, [], []),
    ], f"nothing of {second.name} in run 1, which failed"
    folder.write_lines(LAYERS, [row.model_dump(mode="json") for row in gathered])
    shutil.rmtree(tmp_path / "layers")
    assert gathered_layers(folder, scenario) == gathered


def test_who_listens_to_the_layers_answers_for_every_layer_and_round() -> None:
    asked = AskedByLayer(Shadows(1.0, slice(0, 36)), rounds=2)  # type: ignore[arg-type]
    huge = [["first", [10**400, 1]], ["last", None], [ALL, None]]
    good = [["first", [0.1234567, 1]], ["last", None], [ALL, [0.0, 2.0]]]
    assert asked.checked(good, 2) == [
        ("first", [0.123457, 1.0]),
        ("last", None),
        (ALL, [0.0, 2.0]),
    ]
    wrong = [good[0], good[1], [ALL, [0.0, math.nan]]]
    for bad in (good[1:], good[::-1], wrong, huge, {}, None):
        with pytest.raises((ValueError, TypeError)):
            asked.checked(bad, 2)
    with pytest.raises(ValueError, match="one finite score for every round"):
        asked.checked(good, 3)


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
