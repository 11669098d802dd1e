"""Hashes, trees, the ABI and the artefact, against the contract's own reference and the chain."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files

import pytest
import reference
from eth_keys import keys
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from privaudit.chain import artefact
from privaudit.chain.abi import Interface, revert_reason
from privaudit.chain.chain import Log
from privaudit.chain.client import LedgerClient
from privaudit.chain.errors import LedgerError
from privaudit.chain.gas import FIXED, PER_ITEM, limit
from privaudit.chain.hashes import Hashes, MerkleTree

WORD = st.binary(min_size=32, max_size=32)
NUMBER = st.integers(0, 2**256 - 1)
ADDRESS = st.binary(min_size=20, max_size=20).map(to_checksum_address)


@given(NUMBER, ADDRESS, NUMBER, ADDRESS, WORD, WORD, WORD)
def test_hashes_are_those_of_the_reference(
    chain: int, ledger: str, number: int, client: str, a: bytes, b: bytes, c: bytes
) -> None:
    ours, theirs = Hashes(chain, ledger), reference.Hashes(chain, ledger)
    assert ours.commitment(number, client, a, b, c) == theirs.commitment(number, client, a, b, c)
    assert ours.commitment_leaf(number, client, a) == theirs.commitment_leaf(number, client, a)
    assert ours.reward_leaf(client, number, a) == theirs.reward_leaf(client, number, a)
    assert ours.submission_digest(number, client, a) == theirs.submission_digest(number, client, a)


@given(st.binary(min_size=32, max_size=32).filter(lambda b: 0 < int.from_bytes(b, "big") < 2**255))
def test_signatures_are_those_of_the_reference(secret: bytes) -> None:
    key, ledger = keys.PrivateKey(secret), "0x" + "33" * 20
    signed = Hashes(5, ledger).sign_submission(key, 2, b"\x09" * 32)
    assert tuple(signed) == reference.Hashes(5, ledger).signed(key, 2, b"\x09" * 32)


@given(st.lists(WORD, min_size=1, max_size=40))
def test_trees_are_those_of_the_reference(leaves: list[bytes]) -> None:
    ours, theirs = MerkleTree(leaves), reference.MerkleTree(leaves)
    assert ours.root == theirs.root
    for index in range(len(leaves)):
        assert ours.proof(index) == theirs.proof(index)


def test_the_contract_agrees(ledger: LedgerClient) -> None:
    client = ledger.client(0)
    assert ledger.view("domain_separator") == ledger.hashes.domain_separator()
    digest = ledger.hashes.submission_digest(7, client, b"\x09" * 32)
    assert ledger.view("submission_digest", 7, client, b"\x09" * 32) == digest


def test_every_function_has_a_gas_limit() -> None:
    writing = {
        item["name"]
        for item in artefact.load().abi
        if item["type"] == "function" and item["stateMutability"] not in {"view", "pure"}
    }
    assert writing == FIXED.keys() | PER_ITEM.keys()
    assert limit("settle", [0, [None] * 256]) < 2**24
    assert limit("record_audits", [0, [None] * 128]) < 2**24


def test_foreign_logs_are_no_events() -> None:
    interface = Interface(artefact.load().abi)
    assert interface.event(Log("0x", (), b"")) is None
    assert interface.event(Log("0x", (b"\x00" * 32,), b"")) is None


def test_what_is_no_result_or_event_is_a_value_error(ledger: LedgerClient) -> None:
    interface = Interface(artefact.load().abi)
    for output in (b"", b"\x01" * 31, b"\xff" * 32):
        with pytest.raises(ValueError):
            interface.result("get_audits", output)
    topic = keccak(text="Deposited(address,uint256)")
    for topics, data in (((topic,), b""), ((topic, b"\x00" * 32), b"\x01")):
        with pytest.raises(ValueError):
            interface.event(Log("0x", topics, data))
    receipt = ledger.fund(5)
    damaged = dataclasses.replace(receipt, logs=(Log(ledger.address, (topic,), b""),))
    with pytest.raises(LedgerError, match="has damaged logs"):
        ledger.events(damaged)


def test_node_that_answers_nonsense_to_a_view(
    ledger: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.chain, "call", lambda _: b"")
    with pytest.raises(LedgerError, match="'round_count' answers what is no such result"):
        ledger.view("round_count")


@pytest.mark.parametrize("output", ["", "08c379a0", "08c379a0ff", "deadbeef"])
def test_reason_of_any_output_is_text(output: str) -> None:
    assert revert_reason(bytes.fromhex(output)) == output


def test_artefact_is_checked() -> None:
    text = (files("privaudit.chain") / "artefact" / artefact.NAMES[0]).read_text()
    good = artefact.parse(text)
    assert good == artefact.load()
    content = json.loads(text)
    content["runtime_bytecode"] = content["runtime_bytecode"].replace("5f", "60", 1)
    with pytest.raises(LedgerError, match="integrity hash does not match"):
        artefact.parse(json.dumps(content))
    for broken in ("", "{}", "[]", "null", text[:1000]):
        with pytest.raises(LedgerError, match="not a contract artefact"):
            artefact.parse(broken)
