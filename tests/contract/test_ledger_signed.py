"""Relayed submissions: EIP-712 signatures that cannot be bent, copied or replayed."""

from __future__ import annotations

import pytest
from eth_account import Account
from ledger_world import CLIENT_KEYS, CLIENTS, OUTSIDER_KEY, STRANGER, SUBMIT_SECONDS, World, word
from reference import CURVE_ORDER, Hashes, Signed


def _signed(world: World, round_id: int, count: int = 1) -> list[Signed]:
    return [world.hashes.signed(key, round_id, word(str(key))) for key in CLIENT_KEYS[:count]]


def _relay(world: World, round_id: int, items: list[Signed]) -> list[str]:
    result = world.call("submit_signed", round_id, items, sender=STRANGER)
    names = [event.name for event in result.events]
    assert result.value == names.count("Submitted")
    return names


def _refused(world: World, reason: str, round_id: int, items: list[Signed]) -> None:
    world.refused(reason, "submit_signed", round_id, items, sender=STRANGER)
    assert world.view_round(round_id).submitted == 0


def test_anyone_relays_a_batch(world: World) -> None:
    round_id = world.open_round()
    items = _signed(world, round_id, 6)
    assert _relay(world, round_id, items) == ["Submitted"] * 6
    assert world.view_round(round_id).submitted == 6
    for client, commitment, *_ in items:
        assert world.view("get_submission", round_id, client).commitment == commitment


def test_a_wallet_signs_the_documented_types(world: World) -> None:
    round_id = world.open_round()
    message = {"round": round_id, "client": CLIENTS[0], "commitment": word("c")}
    fields = [("round", "uint256"), ("client", "address"), ("commitment", "bytes32")]
    signed = Account.sign_typed_data(
        CLIENT_KEYS[0].to_bytes(),
        domain_data={
            "name": "privaudit RewardLedger",
            "version": "1",
            "chainId": world.chain.chain_id,
            "verifyingContract": world.ledger.address,
        },
        message_types={"Submission": [{"name": n, "type": t} for n, t in fields]},
        message_data=message,
    )
    r, s = (number.to_bytes(32, "big") for number in (signed.r, signed.s))
    assert _relay(world, round_id, [(CLIENTS[0], word("c"), signed.v, r, s)]) == ["Submitted"]


def test_the_views_agree_with_the_documented_preimages(world: World) -> None:
    assert world.view("domain_separator") == world.hashes.domain_separator()
    arguments = (3, CLIENTS[0], word("c"))
    assert world.view("submission_digest", *arguments) == world.hashes.submission_digest(*arguments)


def test_a_replayed_batch_records_nothing(world: World) -> None:
    round_id = world.open_round()
    items = _signed(world, round_id, 3)
    _relay(world, round_id, items)
    before = world.totals()
    assert _relay(world, round_id, items) == ["SubmissionSkipped"] * 3
    assert world.totals() == before
    assert world.view_round(round_id).submitted == 3


def test_whoever_submits_first_spoils_no_batch_and_keeps_its_commitment(world: World) -> None:
    round_id = world.open_round()
    world.call("submit", round_id, word("own"), sender=CLIENTS[0])
    names = _relay(world, round_id, _signed(world, round_id, 2))
    assert names == ["SubmissionSkipped", "Submitted"]
    assert world.view("get_submission", round_id, CLIENTS[0]).commitment == word("own")
    assert world.view_round(round_id).submitted == 2


def test_a_client_twice_in_a_batch_counts_once(world: World) -> None:
    round_id = world.open_round()
    other = world.hashes.signed(CLIENT_KEYS[0], round_id, word("second thought"))
    names = _relay(world, round_id, [*_signed(world, round_id), other])
    assert names == ["Submitted", "SubmissionSkipped"]
    assert world.view_round(round_id).submitted == 1


def test_a_signature_holds_for_one_round(world: World) -> None:
    first, second = world.open_round(), world.open_round()
    _refused(world, "signature of another account", second, _signed(world, first))


@pytest.mark.parametrize("change", ["chain", "contract"])
def test_a_signature_holds_for_one_chain_and_contract(world: World, change: str) -> None:
    round_id = world.open_round()
    chain_id, address = world.hashes.chain_id, world.hashes.address
    elsewhere = Hashes(1, address) if change == "chain" else Hashes(chain_id, CLIENTS[5])
    item = elsewhere.signed(CLIENT_KEYS[0], round_id, word("c"))
    _refused(world, "signature of another account", round_id, [item])


def test_a_commitment_or_client_cannot_be_exchanged(world: World) -> None:
    round_id = world.open_round()
    client, commitment, v, r, s = _signed(world, round_id)[0]
    reason = "signature of another account"
    _refused(world, reason, round_id, [(client, word("other"), v, r, s)])
    _refused(world, reason, round_id, [(CLIENTS[1], commitment, v, r, s)])


def test_the_mirrored_signature_is_refused(world: World) -> None:
    round_id = world.open_round()
    client, commitment, v, r, s = _signed(world, round_id)[0]
    mirrored = (CURVE_ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    item = (client, commitment, 55 - v, r, mirrored)
    _refused(world, "signature not in low-s form", round_id, [item])


def test_the_border_of_low_s_is_half_the_order(world: World) -> None:
    round_id = world.open_round()
    client, commitment, v, r, _ = _signed(world, round_id)[0]
    for s, reason in [
        (CURVE_ORDER // 2, "signature of another account"),
        (CURVE_ORDER // 2 + 1, "signature not in low-s form"),
    ]:
        _refused(world, reason, round_id, [(client, commitment, v, r, s.to_bytes(32, "big"))])


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_other_values_of_v_are_refused(world: World, v: int) -> None:
    round_id = world.open_round()
    client, commitment, _, r, s = _signed(world, round_id)[0]
    _refused(world, "signature not recoverable", round_id, [(client, commitment, v, r, s)])


def test_the_zero_address_cannot_sign(world: World) -> None:
    round_id = world.open_round()
    item = ("0x" + "00" * 20, word("c"), 27, bytes(32), bytes(32))
    _refused(world, "signature not recoverable", round_id, [item])


def test_one_bad_signature_stops_the_batch(world: World) -> None:
    round_id = world.open_round()
    items = _signed(world, round_id, 2)
    items[1] = (items[1][0], word("other"), *items[1][2:])
    _refused(world, "signature of another account", round_id, items)


def test_the_rules_of_submit_hold(world: World) -> None:
    round_id = world.open_round()
    outsider = world.hashes.signed(OUTSIDER_KEY, round_id, word("c"))
    _refused(world, "not registered", round_id, [outsider])
    zero = world.hashes.signed(CLIENT_KEYS[0], round_id, bytes(32))
    _refused(world, "commitment is zero", round_id, [zero])
    _refused(world, "empty batch", round_id, [])
    items = _signed(world, round_id)
    world.chain.mine(SUBMIT_SECONDS)
    _refused(world, "submissions have ended", round_id, items)
