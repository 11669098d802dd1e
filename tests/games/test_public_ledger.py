"""The game public-ledger: nothing to read where nothing is paid by, a planted leak is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from privaudit.attack.protocol import fit_together, make_attack
from privaudit.attack.public_ledger import Outsider, sizes_of_shares
from privaudit.attack.registry import load_attack
from privaudit.custody.folder import RunFolder
from privaudit.engine.local_rule import LocalRule
from privaudit.errors import UserError
from privaudit.federation.rewards import Delivery, rewards
from privaudit.federation.rounds import ClientWork
from privaudit.federation.settling import policy_named, settlements
from privaudit.games.public_ledger import PublicLedger, _dealt
from privaudit.games.worth import SCALE, FlippedPoisoner, ScaledPoisoner
from privaudit.observation.public import PublicRound
from privaudit.observation.views import OutsiderView
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, cells_of, is_of_rounds
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import PUBLIC_LEDGER
from privaudit.world import World, load_world

CHANNELS = ("ledger-verdicts", "ledger-pay", "ledger-participation")
CLIENTS, ROUNDS, TARGET = 5, 200, 1
BUDGET = 1_000_000
ON_CLIENTS = 'public_ledger.questions=["holders","labels"]'
COHORTS = 'public_ledger.questions=["cohorts"]'
TOO_LONG = "norm 2 over 1"


def ledger(policy: str, rounds: list[list[Delivery]]) -> list[PublicRound]:
    found, first = [], 0
    for one in settlements(policy_named(policy), BUDGET, rounds):
        found.append(PublicRound(first, one.rounds, one.budget, one.outcomes, one.amounts))
        first += one.rounds
    return found


def scores(channel: str, seen: list[PublicRound], question: str = "rounds") -> np.ndarray:
    asked = Outsider(question, CLIENTS, sum(one.rounds for one in seen), TARGET)
    attack = make_attack(load_attack(channel), {}, Seed(1))
    fit_together([attack], seen, asked)
    return np.array(asked.checked(attack.answer(), len(seen)))


def played(rng: np.random.Generator, present: np.ndarray, refused: float) -> list[list[Delivery]]:
    """Deltas of which 5 % are refused, of the target's with the property ``refused`` of them."""
    return [
        [
            Delivery(
                client,
                "",
                100,
                reason=TOO_LONG
                if rng.random() < (refused if there and client == TARGET else 0.05)
                else "",
                value=int(rng.integers(1, 1_000_000)),
            )
            for client in range(CLIENTS)
        ]
        for there in present
    ]


@pytest.fixture(scope="module")
def present() -> np.ndarray:
    return np.random.default_rng(3).permutation(np.arange(ROUNDS) % 2 == 0)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    "policy", ["equal", "samples", "contribution", "contribution-per-10", "novelty-pool-10"]
)
def test_where_nothing_depends_on_it_nothing_is_read(
    channel: str, policy: str, present: np.ndarray
) -> None:
    assert load_attack(channel).view is OutsiderView
    rounds = played(np.random.default_rng(7), present, 0.05)
    found = roc_auc_score(present, scores(channel, ledger(policy, rounds)))
    error = np.sqrt((ROUNDS + 1) / (12 * (ROUNDS / 2) ** 2))
    assert abs(found - 0.5) < 4.5 * error


def test_refusals_of_the_property_are_read_off_verdicts_and_not_off_a_block(
    present: np.ndarray,
) -> None:
    rounds = played(np.random.default_rng(5), present, 0.79)
    each = roc_auc_score(present, scores("ledger-verdicts", ledger("equal", rounds)))
    assert each > 0.8
    blocks = roc_auc_score(present, scores("ledger-verdicts", ledger("equal-per-50", rounds)))
    assert abs(blocks - 0.5) < 0.2
    one = roc_auc_score(present, scores("ledger-participation", ledger("equal", rounds)))
    assert one == 0.5


def test_equal_pay_with_no_bound_says_nothing_at_all(present: np.ndarray) -> None:
    rounds = [[Delivery(client, "", 100) for client in range(CLIENTS)] for _ in present]
    for channel in CHANNELS:
        assert np.ptp(scores(channel, ledger("equal", rounds))) == 0


def test_who_took_part_stands_there_and_in_a_block_no_more() -> None:
    rng = np.random.default_rng(1)
    took = rng.random((60, CLIENTS)) < 0.5
    took[:, 0] = True
    rounds = [[Delivery(int(c), "", 100) for c in np.flatnonzero(row)] for row in took]
    each = scores("ledger-participation", ledger("equal", rounds), "cohorts")
    assert roc_auc_score(took.ravel(), each) == 1.0
    block = scores("ledger-participation", ledger("equal-per-20", rounds), "cohorts")
    assert roc_auc_score(took.ravel(), block) < 0.6


@given(st.lists(st.integers(20, 900), min_size=2, max_size=6))
def test_sizes_are_read_off_shares_up_to_a_common_divisor(sizes: list[int]) -> None:
    cohort = [Delivery(client, "", size) for client, size in enumerate(sizes)]
    paid = rewards("samples", 100_000_000, cohort)
    amounts = np.array([paid[client] for client in range(len(sizes))], dtype=float)
    found = sizes_of_shares(amounts, 100_000_000)
    assert found is not None
    assert found == pytest.approx(np.array(sizes) / np.gcd.reduce(sizes), abs=1e-6)


@given(st.integers(1, 7), st.integers(1, 40))
def test_blocks_pay_what_their_rounds_pay(block: int, rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    sent = played(rng, np.zeros(rounds, dtype=bool), 0.0)
    name = "contribution" if block == 1 else f"contribution-per-{block}"
    each = list(settlements(policy_named("contribution"), None, sent))
    blocks = list(settlements(policy_named(name), None, sent))
    assert sum(one.rounds for one in blocks) == rounds
    for client in range(CLIENTS):
        both = [sum(one.amounts[client] for one in of) for of in (each, blocks)]
        assert both[0] == both[1]
    assert all(sum(one.amounts.values()) <= one.budget for one in blocks)


WRONG = [
    "fair",
    "equal-per-1",
    "equal-per-x",
    "samples-per-0",
    "novelty-pool-1",
    "equal-pool-10",
    "size-classes-laplace-1",
    "samples-reputation",
    "novelty-laplace-0",
    "novelty-laplace-x",
    "novelty-pool-10-laplace-1",
]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_reward_policy_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        policy_named(name)


def test_nobody_pays_by_worth_where_nobody_sees_a_delta() -> None:
    scenario = load_scenario(
        "public-ledger",
        ['audit.defences=["none","secure-aggregation"]', "audit.norm_bound=null"],
    )
    paid = {
        (cell.defence, scenario.asked_of_ledgers[cell.property].reward)
        for cell in cells_of(scenario)
        if cell.game == PUBLIC_LEDGER
    }
    assert ("", "contribution") in paid
    assert ("secure-aggregation", "equal") in paid
    assert ("secure-aggregation", "contribution") not in paid


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((COHORTS, "federation.rounds=1"), "federation.cohort"),
        (('public_ledger.questions=["sizes"]',), "sizes are asked of training: .*above 0"),
        ((ON_CLIENTS,), "holders and labels are .*above 0"),
        (
            (ON_CLIENTS, "federation.rounds=1", "audit.properties=[]"),
            "about rounds and holders need audit.properties",
        ),
        (('audit.schedule="episodes"', "runs=4"), "single-batch"),
        (('public_ledger.rewards=["fair"]',), "fair"),
    ],
)
def test_what_cannot_be_asked_is_refused(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_scenario("public-ledger", list(settings))


def test_poisoners_send_other_labels_and_longer_deltas() -> None:
    scenario = load_scenario("public-ledger", ["data.records=600"])
    world = load_world(scenario.model_dump_json(), None)
    engine, rule = world.engine(0), LocalRule(0.1)
    batch, seed = np.arange(16), Seed(3)
    work, classes = ClientWork(4, [batch]), len(world.dataset.class_names)
    (honest,) = engine.train_clients(engine.initial, world.samples, [[batch]], rule, [seed])
    poisoner = FlippedPoisoner(world.engine(0), world.samples, classes, rule, seed)
    flipped = poisoner.send(0, engine.initial, work, honest)
    longer = ScaledPoisoner().send(0, engine.initial, work, honest)
    assert torch.equal(longer, SCALE * honest.delta)
    turned = replace(world.samples, labels=classes - 1 - world.samples.labels)
    before, after = (
        engine.evaluate(at, turned.chosen(batch))[0]
        for at in (engine.initial + honest.delta, engine.initial + flipped)
    )
    assert after < before


# ------------------------------------------------------------------------ which clients hold what

KINDS = 6
"""Clients of the federations below: three of each kind in every run."""
TRAINED = (
    "data.records=1200",
    "runs=12",
    f"federation.participants={KINDS}",
    "federation.rounds=3",
    "audit.batch_size=8",
    "audit.norm_bound=null",
    'audit.defences=["none"]',
    'public_ledger.questions=["holders","labels","sizes"]',
    'public_ledger.rewards=["samples","contribution"]',
)


@pytest.fixture(scope="module")
def trained() -> World:
    return load_world(load_scenario("public-ledger", list(TRAINED)).model_dump_json(), None)


def of_clients(world: World, question: str, reward: str = "samples") -> list[Cell]:
    """Of every run."""
    every = world.scenario.asked_of_ledgers
    found = [c for c in cells_of(world.scenario) if c.game == PUBLIC_LEDGER]
    return [
        c
        for c in found
        if not is_of_rounds(world.scenario, c)
        and (every[c.property].question, every[c.property].reward) == (question, reward)
    ]


def areas(world: World, question: str, reward: str, place: Path) -> np.ndarray:
    """[runs] AUC over clients of the attack on pay."""
    game, found = PublicLedger(), []
    for cell in of_clients(world, question, reward):
        folder = RunFolder(place)
        game.observe(world, folder, [cell])
        seen = list(game.view(folder, cell))
        attack = make_attack(load_attack("ledger-pay"), {}, Seed(1))
        asked = game.given(world, [cell])[cell]
        fit_together([attack], seen, asked)
        scored = asked.checked(attack.answer(), len(seen))
        found.append(roc_auc_score(world.presence(cell), scored))
    return np.array(found)


def test_who_is_asked_about_differs_in_what_it_holds_and_not_in_how_much(trained: World) -> None:
    bold, labels = trained.dataset.properties["bold"], trained.dataset.labels
    differ = set()
    for cell in of_clients(trained, "holders"):
        clients, holds = _dealt(trained, cell).clients, trained.presence(cell)
        assert [set(bold[own]) for own in clients] == [{int(yes)} for yes in holds]
        assert len({len(own) for own in clients}) == 1
        assert sum(holds) == KINDS / 2
        differ.add(tuple(holds))
    assert len(differ) > 3
    for cell in of_clients(trained, "labels"):
        clients, holds = _dealt(trained, cell).clients, trained.presence(cell)
        half = set(labels[np.concatenate([clients[c] for c in np.flatnonzero(holds)])])
        assert len(half) <= len(trained.dataset.class_names) / 2
        assert all(
            (set(labels[own]) <= half) == yes for own, yes in zip(clients, holds, strict=True)
        )
        assert len({len(own) for own in clients}) == 1
    for cell in of_clients(trained, "sizes"):
        sizes = np.array([len(own) for own in _dealt(trained, cell).clients])
        assert np.array_equal(sizes > sizes.mean(), trained.presence(cell))


def test_of_as_many_records_or_of_no_property_pay_says_nothing_of_clients(
    trained: World, tmp_path: Path
) -> None:
    for question in ("holders", "labels"):
        assert set(areas(trained, question, "samples", tmp_path)) == {0.5}
    elsewhere = load_world(trained.scenario.model_dump_json(), None, "cpu", 1)
    found = areas(elsewhere, "holders", "contribution", tmp_path)
    half = KINDS / 2
    error = np.sqrt((KINDS + 1) / (12 * half**2) / len(found))  # of a rank sum
    assert abs(found.mean() - 0.5) < 4.5 * error


def test_clients_with_records_unlike_the_others_stand_out(trained: World, tmp_path: Path) -> None:
    # Three of six with the same classes pull together and earn more: the sign stays what it is.
    assert areas(trained, "labels", "contribution", tmp_path).mean() < 0.1
    data = trained.dataset
    blank = np.where(data.properties["bold"][:, None, None] == 1, 0, data.inputs)
    planted = replace(trained, dataset=replace(data, inputs=blank.astype(np.uint8)))
    assert areas(planted, "holders", "contribution", tmp_path).mean() > 0.9


@pytest.mark.parametrize("question", ["holders", "labels"])
def test_the_sign_is_that_of_an_unusual_client_whatever_is_seen(question: str) -> None:
    holds = np.array([True, False, True, False, False])

    def area(channel: str, worth: int, refused: float) -> float:
        rng = np.random.default_rng(2)
        rounds = [
            [
                Delivery(
                    client,
                    "",
                    100,
                    reason=TOO_LONG if yes and rng.random() < refused else "",
                    value=worth if yes else 100,
                )
                for client, yes in enumerate(holds)
            ]
            for _ in range(20)
        ]
        return float(
            roc_auc_score(holds, scores(channel, ledger("contribution", rounds), question))
        )

    assert area("ledger-verdicts", 100, 0.5) == 1.0
    assert area("ledger-pay", 50, 0.0) == 1.0
    assert area("ledger-pay", 200, 0.0) == 0.0
    assert area("ledger-participation", 50, 0.5) == 0.5


def test_kinds_of_records_that_a_client_has_none_of_are_named(trained: World) -> None:
    data, held = trained.dataset, trained.deal(0).largest.clients
    few = np.zeros(len(data), dtype=np.int8)
    few[np.concatenate(held[:2])[::2]] = 1
    for changed, said in (
        ({"properties": {"bold": few}}, "client 2 holds no record with property 'bold' in run 0"),
        ({"labels": np.zeros_like(data.labels)}, "of class '0', 'labels' needs two classes"),
    ):
        world = replace(trained, dataset=replace(data, **changed))
        with pytest.raises(UserError, match=said):
            PublicLedger().check(world)
