"""Who may call what: the role matrix, the hand-over of the admin, the separation of roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ledger_chain import Chain, Reverted
from ledger_world import (
    ACCEPTED,
    ACCOUNTS,
    ADMIN,
    AUDITOR,
    CLIENTS,
    COORDINATOR,
    MODEL,
    OUTSIDER,
    PLAN,
    RECORDS,
    STRANGER,
    World,
    entry,
    word,
)

ZERO = "0x" + "00" * 20


def _nothing(world: World) -> list[Any]:
    return []


def _round(world: World) -> list[Any]:
    return [world.open_round()]


def _ended(world: World) -> list[Any]:
    return [world.submitted_round(CLIENTS[:1])]


def _settled(world: World) -> list[Any]:
    return [world.settled_round(CLIENTS[:1])]


def _rooted(world: World) -> list[Any]:
    return [world.rooted_round()]


def _unclaimed(world: World) -> list[Any]:
    world.as_coordinator("post_rewards", world.rooted_round(), 0, word("rewards"), 5)
    world.chain.mine(world.view("CLAIM_SECONDS"))
    return []


def _planned(world: World) -> list[Any]:
    world.as_auditor("register_plan", PLAN)
    return _round(world)


def _audited(world: World) -> list[Any]:
    round_id = _planned(world)[0]
    world.chain.mine()
    world.as_auditor("record_audits", round_id, 0, PLAN, RECORDS, [entry(), entry()])
    return []


Prepare = Callable[[World], list[Any]]
NOW = 1_800_000_000
RESTRICTED: list[tuple[str, str, Prepare, list[Any]]] = [
    ("admin", "offer_admin", _nothing, [STRANGER]),
    ("admin", "set_coordinator", _nothing, [STRANGER]),
    ("admin", "set_auditor", _nothing, [STRANGER]),
    ("admin", "release_treasury", _nothing, [STRANGER, 5]),
    ("admin", "sweep_rewards", _unclaimed, []),
    ("coordinator", "register_clients", _nothing, [[OUTSIDER]]),
    ("coordinator", "open_round", _nothing, [0, MODEL, 10, NOW + 5, NOW + 9]),
    ("coordinator", "end_submissions", _round, []),
    ("coordinator", "post_commitments", _round, [word("root"), 3]),
    ("coordinator", "settle", _ended, [[(CLIENTS[0], 1, ACCEPTED)]]),
    ("coordinator", "post_rewards", _rooted, [0, word("rewards"), 5]),
    ("coordinator", "close_round", _settled, [word("result")]),
    ("auditor", "register_plan", _nothing, [PLAN]),
    ("auditor", "record_audits", _planned, [0, PLAN, RECORDS, [entry()]]),
    ("auditor", "supersede_audit", _audited, [0, 1]),
]
HOLDER = {"admin": ADMIN, "coordinator": COORDINATOR, "auditor": AUDITOR}


@pytest.mark.parametrize(("role", "name", "prepare", "rest"), RESTRICTED, ids=lambda x: str(x)[:20])
def test_only_the_role_may_call(
    world: World, role: str, name: str, prepare: Prepare, rest: list[Any]
) -> None:
    arguments = [*prepare(world), *rest]
    world.chain.mine()
    for account in ACCOUNTS:
        if account != HOLDER[role]:
            world.refused(f"only the {role}", name, *arguments, sender=account)
    world.refused("", name, *arguments, sender=HOLDER[role], value=1)
    assert world.call(name, *arguments, sender=HOLDER[role]).events


def test_every_state_changing_function_is_restricted_or_meant_for_anyone(world: World) -> None:
    functions = world.ledger.interface.functions.values()
    writing = {
        item["name"] for item in functions if item["stateMutability"] in ("nonpayable", "payable")
    }
    for_anyone = {
        *("accept_admin", "deposit", "withdraw", "withdraw_for", "submit", "submit_signed"),
        *("claim", "expire_round", "sweep_forced"),
    }
    assert writing == for_anyone | {name for _, name, _, _ in RESTRICTED}
    payable = {item["name"] for item in functions if item["stateMutability"] == "payable"}
    assert payable == {"deposit"}


def test_the_admin_is_handed_over_in_two_steps(world: World) -> None:
    offered = world.as_admin("offer_admin", STRANGER).only("AdminOffered")
    assert offered == {"admin": ADMIN, "candidate": STRANGER}
    assert (world.view("admin"), world.view("pending_admin")) == (ADMIN, STRANGER)
    world.refused("only the offered admin", "accept_admin", sender=OUTSIDER)
    changed = world.call("accept_admin", sender=STRANGER).only("AdminChanged")
    assert changed == {"previous": ADMIN, "admin": STRANGER}
    assert (world.view("admin"), world.view("pending_admin")) == (STRANGER, ZERO)
    world.refused("only the admin", "offer_admin", ADMIN, sender=ADMIN)
    world.refused("only the offered admin", "accept_admin", sender=STRANGER)


def test_an_offer_can_be_withdrawn(world: World) -> None:
    world.as_admin("offer_admin", STRANGER)
    world.as_admin("offer_admin", ZERO)
    world.refused("only the offered admin", "accept_admin", sender=STRANGER)


def test_roles_change_hands(world: World) -> None:
    changed = world.as_admin("set_coordinator", STRANGER).only("CoordinatorChanged")
    assert changed == {"previous": COORDINATOR, "coordinator": STRANGER}
    changed = world.as_admin("set_auditor", OUTSIDER).only("AuditorChanged")
    assert changed == {"previous": AUDITOR, "auditor": OUTSIDER}
    assert (world.view("coordinator"), world.view("auditor")) == (STRANGER, OUTSIDER)
    world.refused("only the coordinator", "register_clients", [ADMIN], sender=COORDINATOR)
    world.call("register_clients", [ADMIN], sender=STRANGER)


@pytest.mark.parametrize(
    ("name", "account", "reason"),
    [
        ("set_coordinator", AUDITOR, "coordinator is the auditor"),
        ("set_coordinator", ZERO, "coordinator is the zero address"),
        ("set_auditor", COORDINATOR, "auditor is the coordinator"),
        ("set_auditor", ZERO, "auditor is the zero address"),
    ],
)
def test_roles_stay_apart(world: World, name: str, account: str, reason: str) -> None:
    world.refused(reason, name, account, sender=ADMIN)


@pytest.mark.parametrize(
    ("coordinator", "auditor", "reason"),
    [
        (STRANGER, STRANGER, "auditor is the coordinator"),
        (ZERO, STRANGER, "coordinator is the zero address"),
        (STRANGER, ZERO, "auditor is the zero address"),
    ],
)
def test_deployment_keeps_roles_apart(
    artefact: dict[str, Any], coordinator: str, auditor: str, reason: str
) -> None:
    chain = Chain()
    chain.fund(ADMIN, 10**18)
    with pytest.raises(Reverted, match=reason):
        chain.deploy(artefact["abi"], artefact["bytecode"], [coordinator, auditor], ADMIN)
