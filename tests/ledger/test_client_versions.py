"""Ledgers of the contract's version 1 stay readable and can be claimed from; none begins on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from client_kit import BUDGET, CLIENTS, RECORDS, model, play
from ledger_version_1 import version_1

from privaudit.chain import artefact
from privaudit.chain.client import LedgerClient
from privaudit.chain.errors import LedgerError
from privaudit.chain.hashes import MerkleTree
from privaudit.chain.opening import open_ledger, view_ledger
from privaudit.chain.pins import check_code

SHIPPED_AS_VERSION_1 = "12e0c5d3ef97866ad8027ba8510944187f4af0ad523a5f533875a3f8f459fafb"
SALT = b"\x05" * 32


def _rewards(ledger: LedgerClient) -> MerkleTree:
    leaves = [ledger.hashes.reward_leaf(ledger.client(i), 30, SALT) for i in range(CLIENTS)]
    return MerkleTree(leaves)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ledger of version 1: two settled rounds, one under roots, an audit."""
    folder = tmp_path_factory.mktemp("old")
    with version_1(), open_ledger(folder) as ledger:
        play(ledger)
        ledger.open_round(2, model(2), BUDGET)
        ledger.post_commitments(2, b"\x0c" * 32, CLIENTS)
        ledger.end_submissions(2)
        ledger.post_rewards(2, _rewards(ledger).root, 30 * CLIENTS)
        ledger.close_round(2, model(3))
    return folder


def test_the_shipped_versions() -> None:
    present, first = artefact.versions()
    assert (present.version, first.version) == ("2", "1")
    assert first.integrity == SHIPPED_AS_VERSION_1
    assert artefact.load() == present
    assert artefact.of_code(first.code_hash.hex()) == first
    assert artefact.of_code("00") is None


def test_an_old_ledger_is_read(old: Path) -> None:
    with view_ledger(old) as ledger:
        assert (ledger.built.version, ledger.view("VERSION")) == ("1", "1")
        assert ledger.money()["bonded"] == 0
        assert [ledger.round(i).state for i in range(3)] == [2, 2, 2]
        assert [batch.records_sha256 for batch in ledger.batches()] == [RECORDS]
        opened = [e for h in ledger.history() for e in h.events if e.name == "RoundOpened"]
        assert [event.args["bond"] for event in opened] == [0, 0, 0]


def test_old_rewards_can_still_be_claimed(old: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(old, tmp_path / "copy"))
    with open_ledger(folder) as ledger:
        client = ledger.client(2)
        ledger.claim(client, 30, SALT, _rewards(ledger).proof(2))
        ledger.withdraw_for(client)
        assert ledger.chain.balance(client) == 30


def test_new_ledgers_are_of_the_present_version(ledger: LedgerClient) -> None:
    assert (ledger.built.version, ledger.view("VERSION")) == ("2", "2")


def test_no_run_begins_on_an_old_contract(old: Path) -> None:
    with view_ledger(old) as ledger:
        with pytest.raises(LedgerError, match="is version 1 of the reward ledger, on which no run"):
            check_code(ledger.chain, ledger.address, None)
        with pytest.raises(LedgerError, match="has other code than the reward ledger"):
            check_code(ledger.chain, ledger.address, artefact.load().code_hash.hex())
