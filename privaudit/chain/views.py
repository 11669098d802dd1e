"""Reading a ledger: the contract's views, and what the journal saw happen."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from . import artefact
from .abi import Event, Interface
from .chain import Call, Chain, Receipt
from .errors import LedgerError
from .hashes import Hashes
from .journal import Journal

NOBODY = "0x" + "00" * 20
PAGE = 128
"""Audit entries the contract returns at once."""


@dataclass(frozen=True)
class Happening:
    """A mined action: its key, its receipt, and the contract's events in it."""

    key: str
    receipt: Receipt
    events: tuple[Event, ...]
    state_root: bytes | None


class LedgerView:
    """A ledger to read from: :func:`.opening.view_ledger` makes one.

    Attributes:
        chain: the chain it lives on.
        journal: its journal.
        address: the contract's address.
        built: the version of the contract.
        hashes: the hashes of this ledger.
    """

    def __init__(
        self, chain: Chain, journal: Journal, address: str, built: artefact.Artefact
    ) -> None:
        self.chain = chain
        self.journal = journal
        self.address = address
        self.built = built
        self.hashes = Hashes(chain.chain_id, address)
        self._interface = Interface(built.abi)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of chain and journal."""
        self.journal.close()
        self.chain.close()

    def view(self, function: str, *arguments: Any) -> Any:
        """The result of a view function by its ABI name: structs are named tuples.

        Raises:
            Reverted: the contract refuses.
            LedgerError: the chain's answer is no such result.
        """
        data = self._interface.call(function, arguments)
        output = self.chain.call(Call(sender=NOBODY, to=self.address, data=data))
        try:
            return self._interface.result(function, output)
        except (ValueError, TypeError, OverflowError):
            raise LedgerError(
                f"'{function}' answers what is no such result", where=self.chain.name
            ) from None

    def round(self, round_id: int) -> Any:
        """``get_round``: state, model_hash, result_hash, budget, spent, deadlines and counts."""
        return self.view("get_round", round_id)

    def submission(self, round_id: int, client: str) -> Any:
        """``get_submission``: commitment and outcome (0 not judged, 1 accepted, 2.. rejected)."""
        return self.view("get_submission", round_id, client)

    def credit(self, account: str) -> int:
        """Wei an account can withdraw."""
        return int(self.view("credits", account))

    def money(self) -> dict[str, int]:
        """The contract's buckets in wei (``bonded`` in version 1 only), and its balance."""
        buckets = ("treasury", "reserved", "bonded", "reward_pool", "total_credits")
        found = {name: int(self.view(name)) for name in buckets if self._interface.has(name)}
        return found | {"balance": self.chain.balance(self.address)}

    def plan(self, plan_hash: bytes) -> Any:
        """``get_plan``: plan_id, link, block_number, timestamp, round_count; zeros if unknown."""
        return self.view("get_plan", plan_hash)

    def batches(self) -> list[Any]:
        """All audit batches: round_id, plan_hash, records_sha256, first_index, count, link, ..."""
        return [self.view("get_batch", index) for index in range(self.view("batch_count"))]

    def audits(self) -> list[Any]:
        """All audit entries, superseded ones included: entry, batch, superseded, superseded_by."""
        count = self.view("audit_count")
        found: list[Any] = []
        while len(found) < count:
            found += self.view("get_audits", len(found), min(PAGE, count - len(found)))
        return found

    def audit_head(self) -> bytes:
        """The head of the hash chain over plans and audits."""
        return bytes(self.view("audit_head"))

    def events(self, receipt: Receipt) -> tuple[Event, ...]:
        """The contract's events in a receipt.

        Raises:
            LedgerError: the receipt holds what the contract cannot have logged.
        """
        ours = [log for log in receipt.logs if log.address == self.address]
        try:
            decoded = [self._interface.event(log) for log in ours]
        except (ValueError, TypeError, OverflowError):
            raise LedgerError(
                f"the receipt of transaction {receipt.hash.hex()} has damaged logs",
                where=str(self.journal.path),
            ) from None
        return tuple(event for event in decoded if event is not None)

    def history(self) -> list[Happening]:
        """Everything that was mined, in the chain's order, from the journal; never a rescan."""
        return [
            Happening(intent.key, receipt, self.events(receipt), root)
            for intent, receipt, root in self.journal.receipts()
        ]
