"""The client on the embedded chain: every action once, reopened with the same state root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from client_kit import (
    BUDGET,
    CLIENTS,
    PLAN,
    RECORDS,
    assert_paid_once,
    folder_files,
    model,
    play,
)

from privaudit.chain.client import AuditEntry, LedgerClient
from privaudit.chain.embedded import GENESIS_TIME
from privaudit.chain.errors import LedgerError, Reverted
from privaudit.chain.hashes import MerkleTree
from privaudit.chain.opening import open_ledger, view_ledger
from privaudit.errors import UserError


def test_a_run_pays_everybody_once(ledger: LedgerClient) -> None:
    play(ledger)
    assert_paid_once(ledger)
    assert ledger.submission(1, ledger.client(CLIENTS - 1)).outcome == 6
    assert ledger.round(1).result_hash == model(2)
    assert ledger.plan(PLAN).round_count == 0
    (audit,) = ledger.audits()
    assert (audit.entry.value, audit.entry.runs) == (700_000, 5)
    assert [batch.records_sha256 for batch in ledger.batches()] == [RECORDS]
    assert ledger.audit_head() == ledger.view("head_at", 2)


def test_the_same_calls_again_change_nothing(ledger: LedgerClient) -> None:
    play(ledger)
    before = ledger.chain.head(), ledger.chain.state_root()
    play(ledger)
    assert (ledger.chain.head(), ledger.chain.state_root()) == before


def test_reopening_gives_the_same_chain(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        play(ledger)
        before = ledger.chain.head(), ledger.chain.state_root(), ledger.history()
    assert folder_files(tmp_path) == ["journal.sqlite", "ledger.lock"]
    with open_ledger(tmp_path) as ledger:
        assert (ledger.chain.head(), ledger.chain.state_root(), ledger.history()) == before
        play(ledger, rounds=3)
        assert ledger.view("round_count") == 3


def test_reading_needs_no_keys_and_writes_nothing(tmp_path: Path) -> None:
    with open_ledger(tmp_path, seed=9) as ledger:
        play(ledger)
        root, money = ledger.chain.state_root(), ledger.money()
    content = (tmp_path / "journal.sqlite").read_bytes()
    (tmp_path / "ledger.lock").unlink()
    with view_ledger(tmp_path) as view:
        assert (view.chain.state_root(), view.money()) == (root, money)
        assert view.history()[-1].state_root == root
    assert folder_files(tmp_path) == ["journal.sqlite"]
    assert (tmp_path / "journal.sqlite").read_bytes() == content


def test_same_seed_same_chain_other_seed_other_accounts(tmp_path: Path) -> None:
    roots = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with open_ledger(tmp_path / name, seed=seed) as ledger:
            play(ledger)
            roots.append(ledger.chain.state_root())
    assert roots[0] == roots[1] != roots[2]


def test_same_seed_same_chain_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from client_kit import play\n"
        "from privaudit.chain.opening import open_ledger\n"
        "with open_ledger(pathlib.Path(sys.argv[2]), seed=1) as ledger:\n"
        "    play(ledger); print(ledger.chain.head().hash.hex(), ledger.chain.state_root().hex())\n"
    )
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", script, here, str(tmp_path / "there")]
    there = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    with open_ledger(tmp_path / "here", seed=1) as ledger:
        play(ledger)
        assert there == [ledger.chain.head().hash.hex(), (ledger.chain.state_root() or b"").hex()]


def test_time_is_the_chains_own(ledger: LedgerClient) -> None:
    assert ledger.chain.head().time == GENESIS_TIME + 1
    ledger.fund(BUDGET)
    ledger.open_round(0, model(0), BUDGET, submit_seconds=100, settle_seconds=50)
    opened = ledger.round(0)
    assert opened.submit_deadline == GENESIS_TIME + 3 + 100
    assert opened.settle_deadline == opened.submit_deadline + 50
    ledger.end_submissions(0)
    assert ledger.close_round(0, model(1)).block_time == opened.submit_deadline


def test_events_come_from_receipts(ledger: LedgerClient) -> None:
    play(ledger)
    settled = [e for h in ledger.history() for e in h.events if e.name == "Settled"]
    assert [(e.args["round_id"], e.args["amount"], e.args["outcome"]) for e in settled] == [
        (number, amount, outcome)
        for number in range(2)
        for amount, outcome in ((450, 1), (450, 1), (0, 6))
    ]
    assert settled[0].args["client"] == ledger.client(0)


def test_refused_action_leaves_no_trace(ledger: LedgerClient) -> None:
    ledger.fund(10)
    head = ledger.chain.head()
    with pytest.raises(Reverted, match=r"round/0/open: .*treasury too small") as error:
        ledger.open_round(0, model(0), 11)
    assert isinstance(error.value, UserError)
    assert error.value.reason == "treasury too small"
    assert ledger.chain.head() == head
    assert ledger.journal.intent("round/0/open") is None
    ledger.open_round(0, model(0), 10)
    assert ledger.round(0).budget == 10


def test_other_request_under_the_same_key_is_refused(ledger: LedgerClient) -> None:
    ledger.fund(10)
    with pytest.raises(LedgerError, match="fund/treasury: the journal holds another request"):
        ledger.fund(11)
    ledger.fund(11, name="more")
    assert ledger.money()["treasury"] == 21


def test_batches_are_split_at_256(ledger: LedgerClient) -> None:
    clients = [ledger.client(i) for i in range(300)]
    first, second = ledger.register(clients)
    assert [len(ledger.events(receipt)) for receipt in (first, second)] == [256, 44]
    assert ledger.view("client_count") == 300
    with pytest.raises(LedgerError, match="round/0/settle: an empty batch"):
        ledger.settle(0, [])


def test_audits_are_split_at_128_and_can_be_superseded(ledger: LedgerClient) -> None:
    ledger.fund(BUDGET)
    ledger.register_plan(PLAN)
    ledger.open_round(0, model(0), BUDGET)
    entries = [AuditEntry(bytes([i, 1]) * 16, 500, i, i, i, i, 5, 3) for i in range(130)]
    assert len(ledger.record_audits(0, PLAN, RECORDS, entries)) == 2
    assert [audit.entry for audit in ledger.audits()] == entries
    ledger.supersede_audit(3, 129)
    assert ledger.audits()[3].superseded_by == 129


def test_large_cohort_by_roots_and_claims(ledger: LedgerClient) -> None:
    clients = [ledger.client(i) for i in range(5)]
    ledger.fund(BUDGET)
    ledger.register(clients)
    ledger.open_round(0, model(0), BUDGET)
    commitments = [ledger.hashes.commitment_leaf(0, client, bytes([9]) * 32) for client in clients]
    ledger.post_commitments(0, MerkleTree(commitments).root, len(clients))
    ledger.end_submissions(0)
    salt = b"\x05" * 32
    rewards = MerkleTree(
        [ledger.hashes.reward_leaf(c, 100 + i, salt) for i, c in enumerate(clients)]
    )
    ledger.post_rewards(0, rewards.root, 510)
    ledger.close_round(0, model(1))
    for index in (4, 1):
        ledger.claim(clients[index], 100 + index, salt, rewards.proof(index))
    assert [ledger.credit(client) for client in clients] == [0, 101, 0, 0, 104]
    with pytest.raises(Reverted, match="proof does not match"):
        ledger.claim(clients[0], 101, salt, rewards.proof(0))


def test_budget_of_a_stalled_round_comes_back(ledger: LedgerClient) -> None:
    ledger.fund(BUDGET)
    ledger.register([ledger.client(i) for i in range(CLIENTS)])
    ledger.open_round(0, model(0), BUDGET, settle_seconds=10)
    ledger.submit_signed(0, [ledger.sign_submission(0, i, b"\x01" * 32) for i in range(2)])
    ledger.chain.advance(ledger.round(0).settle_deadline)
    ledger.act("expire", "auditor", "expire_round", [0])
    assert ledger.money() == {
        "treasury": BUDGET,
        "reserved": 0,
        "reward_pool": 0,
        "total_credits": 0,
        "balance": BUDGET,
    }
