"""Contracts as clients: one that calls back when paid, one that cannot be paid, forced ether."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_chain import Contract, Reverted
from ledger_world import (
    ACCEPTED,
    CLIENTS,
    STRANGER,
    SUBMIT_SECONDS,
    World,
    word,
)

Mocks = dict[str, Any]


def _paid_contract(world: World, mocks: Mocks, name: str) -> Contract:
    """A mock that is a registered client with a credit of 100 (and others have credit too)."""
    mock = mocks[name]
    contract = world.chain.deploy(mock["abi"], mock["bytecode"], [world.ledger.address], STRANGER)
    world.as_coordinator("register_clients", [contract.address])
    round_id = world.open_round()
    _act(contract, world, "submit", round_id, word("contract"))
    world.submit(round_id, CLIENTS[:2])
    world.chain.mine(SUBMIT_SECONDS)
    paid = [contract.address, *CLIENTS[:2]]
    world.as_coordinator("settle", round_id, [(client, 100, ACCEPTED) for client in paid])
    return contract


def _data(world: World, name: str, *arguments: Any) -> bytes:
    return world.ledger.interface.call(name, arguments)


def _act(contract: Contract, world: World, name: str, *arguments: Any) -> None:
    contract.call("act", _data(world, name, *arguments), sender=STRANGER)


def _payloads(world: World, attacker: str) -> dict[str, bytes]:
    """Re-entrant calls; all but the first two would succeed if only the credit were protected."""
    return {
        "withdraw": _data(world, "withdraw", attacker),
        "withdraw_for": _data(world, "withdraw_for", attacker),
        "withdraw_for another": _data(world, "withdraw_for", CLIENTS[0]),
        "submit": _data(world, "submit", 1, word("re-entrant")),
        "credits": _data(world, "credits", attacker),
        "treasury": _data(world, "treasury"),
        "get_round": _data(world, "get_round", 0),
        "audit_head": _data(world, "audit_head"),
    }


@pytest.mark.parametrize(
    "payload",
    [
        *("withdraw", "withdraw_for", "withdraw_for another", "submit"),
        *("credits", "treasury", "get_round", "audit_head"),
    ],
)
@pytest.mark.parametrize("entrance", ["withdraw", "withdraw_for"])
def test_no_function_can_be_entered_during_a_payment(
    world: World, mocks: Mocks, entrance: str, payload: str
) -> None:
    attacker = _paid_contract(world, mocks, "Reenterer")
    world.open_round()
    attacker.call("arm", _payloads(world, attacker.address)[payload], sender=STRANGER)
    _act(attacker, world, entrance, attacker.address)
    assert (attacker.view("attempts"), attacker.view("successes")) == (1, 0)
    assert world.chain.evm.get_balance(attacker.address) == 100
    assert (world.credit(attacker.address), world.credit(CLIENTS[0])) == (0, 100)
    assert world.view("total_credits") == 200


def test_the_attacker_is_paid_when_it_behaves(world: World, mocks: Mocks) -> None:
    attacker = _paid_contract(world, mocks, "Reenterer")
    world.call("withdraw_for", attacker.address, sender=STRANGER)
    assert attacker.view("attempts") == 0
    assert world.chain.evm.get_balance(attacker.address) == 100


def test_who_cannot_be_paid_keeps_the_credit_and_stops_nobody(world: World, mocks: Mocks) -> None:
    refuser = _paid_contract(world, mocks, "Refuser")
    world.refused("transfer failed", "withdraw_for", refuser.address, sender=STRANGER)
    assert world.credit(refuser.address) == 100
    world.call("withdraw_for", CLIENTS[0], sender=STRANGER)
    world.as_coordinator("close_round", 0, word("result"))
    with pytest.raises(Reverted):
        _act(refuser, world, "withdraw", refuser.address)
    before = world.chain.evm.get_balance(STRANGER)
    _act(refuser, world, "withdraw", STRANGER)
    assert world.chain.evm.get_balance(STRANGER) == before + 100


def test_forced_ether_belongs_to_nobody(world: World, mocks: Mocks) -> None:
    bomb = _paid_contract(world, mocks, "Refuser")
    world.chain.fund(bomb.address, 77)
    buckets = world.totals()[1:]
    before = world.balance()
    bomb.call("force", sender=STRANGER)
    assert world.balance() == before + 77
    assert world.totals()[1:] == buckets
    swept = world.call("sweep_forced", sender=STRANGER).only("Deposited")
    assert swept == {"sender": world.ledger.address, "amount": 77}
    assert world.view("treasury") == buckets[0] + 77
    assert world.totals()[1:] == (buckets[0] + 77, *buckets[1:])
    world.refused("nothing to sweep", "sweep_forced", sender=STRANGER)
