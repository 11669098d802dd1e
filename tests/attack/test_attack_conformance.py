"""One suite for every registered attack on properties, ours and anybody's.

A new attack is tested by registering it; nothing here names one. Those on membership have a suite
of their own (``test_membership_conformance.py``).
"""

from __future__ import annotations

import inspect
import math
import random
import tomllib
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from audited_world import AuditedWorld
from sklearn.metrics import roc_auc_score

from privaudit.attack.adversary import ShadowRound
from privaudit.attack.protocol import Attack, fit_together, make_attack, options_of_attack
from privaudit.attack.registry import GROUP, load_attack, registered
from privaudit.errors import UserError
from privaudit.observation.views import VIEWS, Observation, ParticipantView, ServerView
from privaudit.randomness import Seed

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name in registered() if load_attack(name).game == "property"]
every_attack = pytest.mark.parametrize("name", NAMES)

DEVIATIONS = 4.5
"""Standard errors a mean may be away from chance: 7e-6 of a false alarm."""


def new(name: str) -> Attack:
    attack = make_attack(load_attack(name), {}, Seed(7).child(name))
    assert isinstance(attack, Attack)
    return attack


@cache
def rounds_of(world: AuditedWorld) -> list[tuple[Observation, ShadowRound]]:
    """What every attack is given; the shadows are the slow part."""
    return [(seen, world.adversary.shadow(seen)) for seen in world.trace.view()]


def fresh_scores(name: str, world: AuditedWorld) -> np.ndarray:
    attack = new(name)
    for observation, shadow in rounds_of(world):
        attack.partial_fit(observation, shadow, world.trace.layout)
    return attack.score()


@cache
def scores(name: str, world: AuditedWorld) -> np.ndarray:
    """Computed once for all tests; that they are always the same is a test of its own."""
    return fresh_scores(name, world)


def auc(name: str, world: AuditedWorld) -> float:
    return float(roc_auc_score(world.present, scores(name, world)))


def chance_error(present: np.ndarray) -> float:
    """Standard error of the AUC of n_1 against n_0 values without difference (Mann-Whitney)."""
    ones, zeros = int(present.sum()), int((~present).sum())
    return math.sqrt((ones + zeros + 1) / (12 * ones * zeros))


def visible(name: str, participant: AuditedWorld, server: AuditedWorld) -> AuditedWorld:
    """The world with the view this attack needs."""
    return server if issubclass(load_attack(name).view, ServerView) else participant


def test_the_entry_points_of_the_source_tree_are_installed() -> None:
    """Else the suite would silently test an older list of attacks."""
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    installed = {
        p.name: p.value for p in distribution("privaudit").entry_points if p.group == GROUP
    }
    assert installed == stated, "install again: pip install --editable ."
    assert set(stated) <= set(registered())


@every_attack
def test_it_says_who_it_is(name: str) -> None:
    attack = load_attack(name)
    assert attack.name == name, "the name in the class is the one it is registered under"
    assert len(attack.source.split()) > 2, "cite the paper, or say what is new"
    assert attack.view in VIEWS.values()
    assert issubclass(attack.view, ParticipantView)
    assert (inspect.getdoc(attack) or "").strip()


@every_attack
def test_scores_are_finite_and_one_per_round(
    name: str, planted: AuditedWorld, planted_server: AuditedWorld, sparse: AuditedWorld
) -> None:
    for world in (visible(name, planted, planted_server), sparse):
        if not issubclass(type(world.trace.view()), load_attack(name).view):
            continue
        found = scores(name, world)
        assert found.shape == (len(world.trace),)
        assert found.dtype == np.float64
        assert np.isfinite(found).all()
        assert len(np.unique(found)) > 1, "the same score for every round tells nothing"


@every_attack
def test_partial_fit_returns_itself(name: str, planted_server: AuditedWorld) -> None:
    attack = new(name)
    observation, shadow = rounds_of(planted_server)[0]
    assert attack.partial_fit(observation, shadow, planted_server.trace.layout) is attack


@every_attack
def test_the_same_seed_gives_the_same_scores_whatever_others_draw(
    name: str, planted: AuditedWorld, planted_server: AuditedWorld
) -> None:
    world = visible(name, planted, planted_server)
    found = []
    for noise in (1, 2):
        random.seed(noise)
        np.random.seed(noise)  # noqa: NPY002 - the global generator is what must not matter
        torch.manual_seed(noise)
        found.append(fresh_scores(name, world).tobytes())
    assert found[0] == found[1]


@every_attack
def test_it_leaves_the_global_generators_alone(
    name: str, planted: AuditedWorld, planted_server: AuditedWorld
) -> None:
    world = visible(name, planted, planted_server)

    def states() -> tuple[object, ...]:
        return (
            random.getstate(),
            np.random.get_state()[1].tobytes(),  # noqa: NPY002
            torch.random.get_rng_state().numpy().tobytes(),
        )

    before = states()
    fresh_scores(name, world)
    assert states() == before


@every_attack
def test_it_does_not_change_what_it_is_given(
    name: str, planted: AuditedWorld, planted_server: AuditedWorld
) -> None:
    attack, world = new(name), visible(name, planted, planted_server)
    auxiliary = world.adversary.auxiliary
    own = [auxiliary.samples.inputs, auxiliary.samples.labels, torch.from_numpy(auxiliary.present)]
    own_before = [t.clone() for t in own]
    shared: list[tuple[torch.Tensor, torch.Tensor]] = []
    for observation, shadow in rounds_of(world):
        tensors = [
            observation.before,
            observation.global_delta,
            observation.own_delta,
            *observation.client_deltas.values(),
            shadow.present,
            shadow.absent,
            shadow.bystanders,
        ]
        shared += [(t, t.clone()) for t in tensors]
        attack.partial_fit(observation, shadow, world.trace.layout)
    attack.score()
    assert all(torch.equal(now, then) for now, then in shared)
    assert all(torch.equal(now, then) for now, then in zip(own, own_before, strict=True))


def test_attacks_fitted_together_score_as_if_alone(planted_server: AuditedWorld) -> None:
    names = NAMES
    together = [new(name) for name in names]
    fit_together(together, planted_server.trace.view(), planted_server.adversary)
    for name, attack in zip(names, together, strict=True):
        assert attack.score().tobytes() == scores(name, planted_server).tobytes()


@every_attack
@pytest.mark.parametrize("world", ["planted", "planted_server", "two_parties"])
def test_a_planted_leak_is_found_with_the_right_sign(
    name: str, world: str, request: pytest.FixtureRequest
) -> None:
    audited: AuditedWorld = request.getfixturevalue(world)
    if not issubclass(type(audited.trace.view()), load_attack(name).view):
        pytest.skip(f"'{name}' needs the {load_attack(name).view.name} view")
    found, present = scores(name, audited), audited.present
    bound = 0.5 + DEVIATIONS * chance_error(present)
    assert roc_auc_score(present, found) > bound
    right = float(((found > 0) == present).mean())
    assert right > 0.5 + DEVIATIONS * 0.5 / math.sqrt(len(present)), "zero is not its threshold"


@every_attack
def test_the_null_world_is_near_chance(name: str, null_worlds: list[AuditedWorld]) -> None:
    assert_near_chance(name, null_worlds)


@every_attack
def test_the_defended_world_is_near_chance(name: str, defended_worlds: list[AuditedWorld]) -> None:
    assert_near_chance(name, defended_worlds)


def assert_near_chance(name: str, worlds: list[AuditedWorld]) -> None:
    able = [
        world for world in worlds if issubclass(type(world.trace.view()), load_attack(name).view)
    ]
    found = [auc(name, world) for world in able]
    error = max(chance_error(world.present) for world in able) / math.sqrt(len(able))
    assert abs(np.mean(found) - 0.5) < DEVIATIONS * error, found


@every_attack
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"attacks.{name}: unknown option 'no_such_option'"):
        make_attack(load_attack(name), {"no_such_option": 1}, Seed(1))


@every_attack
@pytest.mark.parametrize("value", ["no such value", [], None, math.nan, -1.5])
def test_values_that_make_no_sense_are_refused_before_any_round(name: str, value: object) -> None:
    attack = load_attack(name)
    types = get_type_hints(attack.Options) | get_type_hints(attack.__init__)
    for option in (option.name for option in options_of_attack(attack)):
        may_be_none = value is None and type(None) in get_args(types[option])
        may_be_negative = value == -1.5 and types[option] is float
        if may_be_none or may_be_negative:
            continue
        with pytest.raises(UserError, match=f"attacks.{name}: .*{option}"):
            make_attack(attack, {option: value}, Seed(1))


@every_attack
def test_the_default_of_every_option_is_accepted(name: str) -> None:
    defaults = {option.name: option.default for option in options_of_attack(load_attack(name))}
    make_attack(load_attack(name), defaults, Seed(1))


def test_the_suite_would_notice_a_cheat(
    planted: AuditedWorld, null_worlds: list[AuditedWorld]
) -> None:
    """The bounds have power: an attack with the wrong sign and one that guesses are both caught."""

    class WrongSign(Attack):
        name, source = "wrong-sign", "made up for this test"

        def __init__(self, *, seed: Seed) -> None:
            super().__init__(seed=seed)
            self.inner = new(NAMES[0])

        def partial_fit(self, observation, shadow: ShadowRound, layout):  # type: ignore[no-untyped-def]
            self.inner.partial_fit(observation, shadow, layout)
            return self

        def score(self) -> np.ndarray:
            return -self.inner.score()

    wrong = WrongSign(seed=Seed(1)).fit(planted.trace.view(), planted.adversary).score()
    assert roc_auc_score(planted.present, wrong) < 0.5 - DEVIATIONS * chance_error(planted.present)
    error = chance_error(null_worlds[0].present) / math.sqrt(len(null_worlds))
    assert DEVIATIONS * error < 0.25, "a null world must tell a leak of AUC 0.75 from none"
