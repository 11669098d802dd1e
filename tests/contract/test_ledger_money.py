"""Registration, deposits, releases, withdrawals."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_chain import Reverted
from ledger_world import (
    ACCEPTED,
    ADMIN,
    CLIENT_KEYS,
    CLIENTS,
    COORDINATOR,
    OUTSIDER,
    SETTLE_SECONDS,
    STRANGER,
    SUBMIT_SECONDS,
    World,
    word,
)
from reference import MerkleTree

NONE = bytes(32)
ZERO = "0x" + "00" * 20


def test_clients_get_ids_in_order(world: World) -> None:
    assert [world.view("client_id", client) for client in CLIENTS] == [1, 2, 3, 4, 5, 6]
    events = world.as_coordinator("register_clients", [OUTSIDER, STRANGER]).events
    assert {event.name for event in events} == {"ClientRegistered"}
    assert [event.args for event in events] == [
        {"client": OUTSIDER, "client_id": 7},
        {"client": STRANGER, "client_id": 8},
    ]
    assert world.view("client_count") == 8


@pytest.mark.parametrize(
    ("clients", "reason"),
    [
        ([], "empty batch"),
        ([OUTSIDER, ZERO], "client is the zero address"),
        ([OUTSIDER, CLIENTS[0]], "already registered"),
        ([OUTSIDER, OUTSIDER], "already registered"),
    ],
)
def test_bad_registrations_are_refused(world: World, clients: list[str], reason: str) -> None:
    world.refused(reason, "register_clients", clients, sender=COORDINATOR)
    assert world.view("client_id", OUTSIDER) == 0


def test_a_batch_has_256_clients_at_most(world: World) -> None:
    accounts = [f"0x{number:040x}" for number in range(1, 258)]
    with pytest.raises(Reverted):
        world.as_coordinator("register_clients", accounts)
    world.as_coordinator("register_clients", accounts[:256])
    assert world.view("client_count") == 262


def test_anyone_deposits(world: World) -> None:
    event = world.call("deposit", sender=OUTSIDER, value=5).only("Deposited")
    assert event == {"sender": OUTSIDER, "amount": 5}
    assert world.view("treasury") == world.balance() == 10_005
    world.refused("nothing deposited", "deposit", sender=OUTSIDER)


def test_plain_transfers_are_refused(world: World) -> None:
    for data in (b"", b"\x00", b"\xde\xad\xbe\xef"):
        with pytest.raises(Reverted):
            world.ledger.send_raw(data, sender=STRANGER, value=1)


def test_value_is_never_swallowed(world: World, artefact: dict[str, Any]) -> None:
    """Whatever the call, it takes no value; those of roles are in the role matrix."""
    round_id = world.open_round()
    signed = world.hashes.signed(CLIENT_KEYS[1], round_id, word("relayed"))
    world.refused("", "submit", round_id, word("own"), sender=CLIENTS[0], value=1)
    world.refused("", "submit_signed", round_id, [signed], sender=STRANGER, value=1)
    world.submit(round_id, CLIENTS[:1])
    world.chain.mine(SUBMIT_SECONDS)
    world.as_coordinator("settle", round_id, [(CLIENTS[0], 5, ACCEPTED)])
    world.refused("", "withdraw", CLIENTS[0], sender=CLIENTS[0], value=1)
    world.refused("", "withdraw_for", CLIENTS[0], sender=STRANGER, value=1)
    world.chain.mine(SETTLE_SECONDS)
    world.refused("", "expire_round", round_id, sender=STRANGER, value=1)
    leaf = MerkleTree([world.hashes.reward_leaf(CLIENTS[0], 5, NONE)])
    world.as_coordinator("post_rewards", world.rooted_round(), 0, leaf.root, 5)
    world.refused("", "claim", CLIENTS[0], 5, NONE, [], sender=STRANGER, value=1)
    world.refused("", "sweep_forced", sender=STRANGER, value=1)
    world.as_admin("offer_admin", STRANGER)
    world.refused("", "accept_admin", sender=STRANGER, value=1)
    code = artefact["bytecode"] + world.ledger.interface.constructor([STRANGER, OUTSIDER]).hex()
    with pytest.raises(RuntimeError, match="Revert"):
        world.chain.evm.deploy(ADMIN, bytes.fromhex(code.removeprefix("0x")), value=1)


def test_released_treasury_is_credit(world: World) -> None:
    event = world.as_admin("release_treasury", STRANGER, 4_000).only("TreasuryReleased")
    assert event == {"to": STRANGER, "amount": 4_000}
    assert (world.view("treasury"), world.credit(STRANGER)) == (6_000, 4_000)
    assert world.balance() == 10_000


def test_reserved_money_cannot_be_released(world: World) -> None:
    world.open_round(budget=9_000)
    world.refused("treasury too small", "release_treasury", STRANGER, 1_001, sender=ADMIN)
    world.as_admin("release_treasury", STRANGER, 1_000)


def test_bad_releases_are_refused(world: World) -> None:
    world.refused("recipient is the zero address", "release_treasury", ZERO, 1, sender=ADMIN)
    world.refused("amount is zero", "release_treasury", STRANGER, 0, sender=ADMIN)


def test_a_credit_is_withdrawn_once(world: World) -> None:
    world.settled_round(CLIENTS[:2], amount=30)
    before = world.chain.evm.get_balance(STRANGER)
    event = world.call("withdraw", STRANGER, sender=CLIENTS[0]).only("Withdrawn")
    assert event == {"account": CLIENTS[0], "to": STRANGER, "amount": 30}
    assert world.chain.evm.get_balance(STRANGER) == before + 30
    assert (world.credit(CLIENTS[0]), world.view("total_credits")) == (0, 30)
    world.refused("no credit", "withdraw", STRANGER, sender=CLIENTS[0])
    world.refused("recipient is the zero address", "withdraw", ZERO, sender=CLIENTS[1])


def test_anyone_can_pay_a_credit_out_to_its_owner_only(world: World) -> None:
    world.settled_round(CLIENTS[:2], amount=30)
    before = world.chain.evm.get_balance(CLIENTS[1])
    event = world.call("withdraw_for", CLIENTS[1], sender=STRANGER).only("Withdrawn")
    assert event == {"account": CLIENTS[1], "to": CLIENTS[1], "amount": 30}
    assert world.chain.evm.get_balance(CLIENTS[1]) == before + 30
    world.refused("no credit", "withdraw_for", CLIENTS[1], sender=STRANGER)
    assert world.credit(CLIENTS[0]) == 30
