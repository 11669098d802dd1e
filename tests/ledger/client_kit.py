"""A small run as a coordinator, an auditor and clients would make it, and ways to break it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from privaudit.chain.accounts import ROLES, EmbeddedAccounts, address
from privaudit.chain.client import AuditEntry, LedgerClient, Settlement

CLIENTS = 3
ROUNDS = 2
BUDGET = 900
PLAN, RECORDS = b"\x70" * 32, b"\x71" * 32
TREASURY = 10**6
FAST = {"mined": 8.0, "stuck": 60.0, "again": 2.0, "poll": 0.02}
"""Patience for a node on this machine."""


class TestAccounts(EmbeddedAccounts):
    """Keys for a node whose money is worth nothing."""

    __test__ = False


def model(number: int) -> bytes:
    """The hash of the global model before round ``number``."""
    return bytes([0x40 + number]) * 32


def steps(ledger: LedgerClient, rounds: int = ROUNDS) -> Iterator[Callable[[], object]]:
    """Everything a run does on the ledger, one action after the other."""
    clients = [ledger.client(i) for i in range(CLIENTS)]
    yield lambda: ledger.fund(TREASURY)
    yield lambda: ledger.register(clients)
    yield lambda: ledger.register_plan(PLAN)
    for number in range(rounds):
        yield from round_steps(ledger, number)
    entry = AuditEntry(b"\x01" * 32, 1000, 1, 700_000, 600_000, 800_000, CLIENTS, 5)
    yield lambda: ledger.record_audits(0, PLAN, RECORDS, [entry])
    for client in clients[:-1]:
        yield lambda client=client: ledger.withdraw_for(client)


def round_steps(ledger: LedgerClient, number: int) -> Iterator[Callable[[], object]]:
    """One round: the last client is rejected, the others share the budget."""
    signed = [
        ledger.sign_submission(number, i, bytes([number + 1, i + 1]) * 16) for i in range(CLIENTS)
    ]
    share = BUDGET // (CLIENTS - 1)
    judged = [Settlement(ledger.client(i), share, 1) for i in range(CLIENTS - 1)]
    judged.append(Settlement(ledger.client(CLIENTS - 1), 0, 6))
    yield lambda: ledger.open_round(number, model(number), BUDGET)
    yield lambda: ledger.submit_signed(number, signed)
    yield lambda: ledger.end_submissions(number)
    yield lambda: ledger.settle(number, judged)
    yield lambda: ledger.close_round(number, model(number + 1))


def play(ledger: LedgerClient, rounds: int = ROUNDS) -> None:
    """All steps; made again they change nothing."""
    for step in steps(ledger, rounds):
        step()


def assert_paid_once(ledger: LedgerClient, rounds: int = ROUNDS, withdrawn: int = 2) -> None:
    """Every round closed, every client paid exactly once, every action mined exactly once."""
    paid = BUDGET // (CLIENTS - 1) * (CLIENTS - 1) * rounds
    credit = sum(ledger.credit(ledger.client(i)) for i in range(CLIENTS))
    owned = sum(ledger.chain.balance(ledger.client(i)) for i in range(CLIENTS))
    assert credit + owned == paid
    assert (credit == 0) == (withdrawn == CLIENTS - 1)
    money = ledger.money()
    assert money["treasury"] == TREASURY - paid
    assert money["reserved"] == 0
    assert money["balance"] == TREASURY - owned
    assert ledger.view("round_count") == rounds
    assert [ledger.round(i).state for i in range(rounds)] == [2] * rounds
    keys = [happening.key for happening in ledger.history() if happening.receipt.succeeded]
    assert len(keys) == len(set(keys))
    assert {intent.status for intent in ledger.journal.intents()} <= {"mined", "final"}


def role_addresses(accounts: EmbeddedAccounts) -> list[str]:
    """The accounts that need native tokens."""
    return [address(accounts, role) for role in ROLES]


def killed_child(work: Callable[[], object]) -> bool:
    """Do something in a child process; whether it died of SIGKILL rather than coming to its end."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die() -> None:
    """End this process at once, as a power failure would."""
    os.kill(os.getpid(), signal.SIGKILL)


def folder_files(folder: Path) -> list[str]:
    """Names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
