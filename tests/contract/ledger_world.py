"""The cast of the contract tests: a funded ledger with roles and registered clients."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak
from ledger_chain import Chain, Contract, Result, Reverted
from reference import Entry, Hashes, property_id

ROOT = Path(__file__).resolve().parents[2]
ARTEFACT = ROOT / "privaudit" / "chain" / "artefact" / "RewardLedger.json"
ETHER = 10**18
BUDGET = 1_000
SUBMIT_SECONDS = 100
SETTLE_SECONDS = 200
MODEL = keccak(text="model")
PLAN = keccak(text="plan")
RECORDS = keccak(text="records")
ACCEPTED = 1
REJECTED = 2

KEYS = [PrivateKey(keccak(text=f"privaudit test key {number}")) for number in range(12)]
ACCOUNTS: list[str] = [key.public_key.to_checksum_address() for key in KEYS]
ADMIN, COORDINATOR, AUDITOR, STRANGER = ACCOUNTS[:4]
CLIENTS = ACCOUNTS[4:10]
CLIENT_KEYS = KEYS[4:10]
OUTSIDER, OUTSIDER_KEY = ACCOUNTS[10], KEYS[10]


def load_artefact() -> dict[str, Any]:
    """The artefact under test: the shipped one, or PRIVAUDIT_LEDGER_ARTEFACT."""
    path = Path(os.environ.get("PRIVAUDIT_LEDGER_ARTEFACT") or ARTEFACT)
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def word(text: str) -> bytes:
    """Any 32 bytes, by name."""
    return keccak(text=text)


def entry(**changes: Any) -> Entry:
    """An audit entry with plausible values; numbers in millionths."""
    fields = {
        "property_id": property_id("bold"),
        "fraction": 5_000,
        "metric": 1,
        "value": 840_000,
        "low": 800_000,
        "high": 880_000,
        "participants": 5,
        "runs": 10,
    }
    return tuple((fields | changes).values())  # type: ignore[return-value]


class World:
    """A deployed ledger and short-hands for what most tests do."""

    def __init__(self, artefact: dict[str, Any], treasury: int = 10_000) -> None:
        self.chain = Chain()
        for account in ACCOUNTS:
            self.chain.fund(account, 1_000 * ETHER)
        self.ledger: Contract = self.chain.deploy(
            artefact["abi"], artefact["bytecode"], [COORDINATOR, AUDITOR], ADMIN
        )
        self.hashes = Hashes(self.chain.chain_id, self.ledger.address)
        self.as_coordinator("register_clients", CLIENTS)
        self.call("deposit", sender=STRANGER, value=treasury)

    def call(self, name: str, *arguments: Any, sender: str, value: int = 0) -> Result:
        """A transaction of any account."""
        return self.ledger.call(name, *arguments, sender=sender, value=value)

    def as_admin(self, name: str, *arguments: Any) -> Result:
        """A transaction of the admin."""
        return self.call(name, *arguments, sender=ADMIN)

    def as_coordinator(self, name: str, *arguments: Any, value: int = 0) -> Result:
        """A transaction of the coordinator."""
        return self.call(name, *arguments, sender=COORDINATOR, value=value)

    def as_auditor(self, name: str, *arguments: Any) -> Result:
        """A transaction of the auditor."""
        return self.call(name, *arguments, sender=AUDITOR)

    def view(self, name: str, *arguments: Any) -> Any:
        """A view."""
        return self.ledger.view(name, *arguments)

    def refused(self, reason: str, name: str, *arguments: Any, sender: str, value: int = 0) -> None:
        """The call must fail for exactly this reason and change nothing that views show."""
        before = self.totals()
        with pytest.raises(Reverted) as caught:
            self.call(name, *arguments, sender=sender, value=value)
        assert caught.value.reason == reason
        assert self.totals() == before

    def view_round(self, round_id: int) -> Any:
        """The struct of a round."""
        return self.view("get_round", round_id)

    def totals(self) -> tuple[int | bytes, ...]:
        """Balance, money buckets and counters."""
        names = (
            *("treasury", "reserved", "reward_pool", "total_credits", "client_count"),
            *("round_count", "reward_epoch", "link_count", "audit_count", "audit_head"),
        )
        return (self.balance(), *(self.view(name) for name in names))

    def balance(self) -> int:
        """Wei that the contract holds."""
        return int(self.chain.evm.get_balance(self.ledger.address))

    def credit(self, account: str) -> int:
        """Credit of an account in wei."""
        return int(self.view("credits", account))

    def open_round(self, budget: int = BUDGET) -> int:
        """Open the next round; returns its id."""
        round_id = int(self.view("round_count"))
        now = self.chain.now
        deadlines = (now + SUBMIT_SECONDS, now + SETTLE_SECONDS)
        self.as_coordinator("open_round", round_id, MODEL, budget, *deadlines)
        return round_id

    def submit(self, round_id: int, clients: Sequence[str] = CLIENTS) -> None:
        """Each client submits a commitment of its own."""
        for client in clients:
            self.call("submit", round_id, word(f"{round_id} {client}"), sender=client)

    def submitted_round(self, clients: Sequence[str] = CLIENTS, budget: int = BUDGET) -> int:
        """A round with submissions, past its submit deadline."""
        round_id = self.open_round(budget)
        self.submit(round_id, clients)
        self.chain.mine(SUBMIT_SECONDS)
        return round_id

    def settled_round(self, clients: Sequence[str] = CLIENTS, amount: int = 10) -> int:
        """A round in which every client was accepted and earned ``amount``."""
        round_id = self.submitted_round(clients)
        self.as_coordinator("settle", round_id, [(c, amount, ACCEPTED) for c in clients])
        return round_id

    def rooted_round(self, count: int = 6) -> int:
        """A round with a commitments root, past its submit deadline."""
        round_id = self.open_round()
        self.as_coordinator("post_commitments", round_id, word("root"), count)
        self.chain.mine(SUBMIT_SECONDS)
        return round_id
