"""One suite for every registered attack on membership: a new one is tested by registering it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from membership_world import DEFENCE, Kind, MembershipWorld, play
from sklearn.metrics import roc_auc_score

from privaudit.attack.protocol import fit_together, make_attack
from privaudit.attack.registry import load_attack, registered
from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.errors import UserError
from privaudit.observation.views import VIEWS, ServerView
from privaudit.randomness import Seed
from privaudit_attacks.membership.embedding import Table

NAMES = [name for name in registered() if load_attack(name).game == "membership"]
every_attack = pytest.mark.parametrize("name", NAMES)
WORLDS = 4
DEVIATIONS = 4.5
"""Standard errors a mean may be away from chance: 7e-6 of a false alarm."""

Build = Callable[..., MembershipWorld]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build(**settings)``: the same settings give the same world."""

    @cache
    def made(**settings: object) -> MembershipWorld:
        return play(tmp_path_factory.mktemp("world") / "trace", **settings)

    return made


def kind_of(name: str) -> Kind:
    """Attacks on words are tried on texts, all others on tables."""
    return "text" if "embedding" in name else "table"


def is_server(name: str) -> bool:
    return issubclass(load_attack(name).view, ServerView)


def fresh_scores(name: str, world: MembershipWorld) -> np.ndarray:
    attack = make_attack(load_attack(name), {}, Seed(7).child(name))
    fit_together([attack], world.trace.view(), world.given)
    return attack.answer()


def auc(name: str, world: MembershipWorld) -> float:
    return float(roc_auc_score(world.trained, fresh_scores(name, world)))


def chance_error(trained: np.ndarray) -> float:
    ones, zeros = int(trained.sum()), int((~trained).sum())
    return math.sqrt((ones + zeros + 1) / (12 * ones * zeros))


@every_attack
def test_it_says_who_it_is(name: str) -> None:
    attack = load_attack(name)
    assert attack.name == name
    assert len(attack.source.split()) > 2, "cite the paper, or say what is new"
    assert attack.view in VIEWS.values()


@every_attack
@pytest.mark.parametrize("server", [False, True])
def test_who_trained_is_found(name: str, server: bool, build: Build) -> None:
    if is_server(name) and not server:
        pytest.skip("needs the server view")
    world = build(kind=kind_of(name), seed=1, server=server)
    found = fresh_scores(name, world)
    assert found.shape == (len(world.given),)
    assert np.isfinite(found).all()
    assert roc_auc_score(world.trained, found) > 0.5 + DEVIATIONS * chance_error(world.trained)


@every_attack
@pytest.mark.parametrize("world", ["null", "defended"])
def test_nothing_is_found_where_nothing_is(name: str, world: str, build: Build) -> None:
    """Strangers trained instead; or what was sent drowned in noise."""
    settings = {"null": True} if world == "null" else {"transforms": DEFENCE}
    worlds = [
        build(kind=kind_of(name), seed=seed, server=is_server(name), **settings)
        for seed in range(WORLDS)
    ]
    found = [auc(name, one) for one in worlds]
    error = chance_error(worlds[0].trained) / math.sqrt(WORLDS)
    assert DEVIATIONS * error < 0.2
    assert abs(np.mean(found) - 0.5) < DEVIATIONS * error, found


@every_attack
def test_the_same_seed_gives_the_same_scores_and_leaves_all_as_it_was(
    name: str, build: Build
) -> None:
    world = build(kind=kind_of(name), seed=1, server=is_server(name))
    given = world.given
    held = [given.samples.inputs, given.samples.labels, given.own.inputs, given.engine.initial]
    before = [tensor.clone() for tensor in held]
    found = []
    for noise in (1, 2):
        random.seed(noise)
        torch.manual_seed(noise)
        state = random.getstate(), torch.random.get_rng_state().numpy().tobytes()
        found.append(fresh_scores(name, world).tobytes())
        assert (random.getstate(), torch.random.get_rng_state().numpy().tobytes()) == state
    assert found[0] == found[1]
    assert all(torch.equal(now, then) for now, then in zip(held, before, strict=True))


@pytest.mark.parametrize(("kind", "fraction"), [("text", 0.1), ("text", 1.0), ("table", 1.0)])
def test_the_stack_is_not_behind_its_best_member(kind: Kind, fraction: float, build: Build) -> None:
    """Where words are not shared, too: weighed by simulation alone it fell behind the cosine."""
    sharing = Sharing("largest" if fraction < 1 else "all", fraction)
    settings = {"kind": kind, "transforms": Transforms(sharing=sharing)}
    worlds = [build(seed=seed, **settings) for seed in range(WORLDS)]
    names = ["loss-trajectory", "gradient-cosine", *(["embedding-rows"] * (kind == "text"))]
    best = max(np.mean([auc(name, world) for world in worlds]) for name in names)
    found = [auc("membership-stack", world) for world in worlds]
    assert np.mean(found) > best


def test_own_records_stand_for_those_of_others(build: Build) -> None:
    """Whoever knows what it trained on weighs members by the federation itself, else it simulates:
    either way with its own records alone, and better than by chance.
    """
    world = build(kind="text", seed=1)
    blind = replace(world, given=replace(world.given, trained=None))
    found = [fresh_scores("membership-stack", one) for one in (world, blind)]
    assert not np.array_equal(*found)
    assert all(roc_auc_score(world.trained, scores) > 0.8 for scores in found)


@pytest.mark.parametrize("name", [name for name in NAMES if kind_of(name) == "text"])
def test_words_are_asked_of_texts_only(name: str, build: Build) -> None:
    with pytest.raises(UserError, match="no embedding of token ids"):
        fresh_scores(name, build(kind="table", seed=1))


@pytest.mark.parametrize("fraction", [0.1, 1.0])
def test_the_threshold_of_the_published_attack_is_its_rule(fraction: float, build: Build) -> None:
    """In if and only if all of its words moved: so is every member, unless rows are not shared."""
    sharing = Sharing("largest" if fraction < 1 else "all", fraction)
    world = build(kind="text", seed=1, transforms=Transforms(sharing=sharing))
    table = Table.of(world.given, "any")
    [observation] = world.trace.view()
    moved = table.moved(observation)
    says_in = fresh_scores("melis-embedding", world) > 0
    words = table.words_of(world.given.samples.inputs)
    assert says_in.tolist() == [bool(moved[own].all()) for own in words]
    assert says_in[world.trained].all() == (fraction == 1.0)
    assert not says_in[~world.trained].all()
