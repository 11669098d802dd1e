"""The ledger as its coordinator, its auditor and its clients use it: one method per action.

Every action has a stable key (``round/12/settle/0``). Calling a method again, in this process or
after a crash, finds the key in the journal and does nothing, or sends the identical bytes again:
whoever resumes a run just makes the same calls in the same order. All money is in wei, all times
are the chain's, in unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .actions import LedgerWriter
from .chain import Receipt
from .hashes import SignedSubmission

BATCH = 256
"""Clients per transaction (the contract's MAX_BATCH)."""
AUDIT_BATCH = 128
"""Audit entries per transaction (the contract's MAX_AUDIT_BATCH)."""
HOUR, WEEK = 3_600, 7 * 86_400
"""Seconds."""


class Settlement(NamedTuple):
    """A judged submission: client's address, wei, and 1 for accepted or 2..255 why rejected."""

    client: str
    amount: int
    outcome: int


class AuditEntry(NamedTuple):
    """An audit entry as the contract keeps it; the units are in the contract's README."""

    property_id: bytes
    fraction: int
    metric: int
    value: int
    low: int
    high: int
    participants: int
    runs: int


class LedgerClient(LedgerWriter):
    """A ledger to read from and write to: :func:`.opening.open_ledger` makes one.

    Every method that writes returns the receipts of its transactions, which are mined, and raises
    :class:`.errors.Reverted` if the contract refuses and :class:`.errors.LedgerError` if the node
    fails or the journal holds another request under the same key.
    """

    def client(self, index: int) -> str:
        """The address of client ``index``."""
        return self.account(f"client/{index}")

    # ------------------------------------------------------------------ set-up and money

    def fund(self, amount: int, *, name: str = "treasury") -> Receipt:
        """Deposit wei into the treasury, from the admin; ``name`` tells several deposits apart."""
        return self.act(f"fund/{name}", "admin", "deposit", [], value=amount)

    def register(self, clients: Sequence[str], *, name: str = "clients") -> list[Receipt]:
        """Register clients' addresses, none of which is registered yet."""
        key = f"register/{name}"
        return self.act_in_batches(key, "coordinator", "register_clients", [], clients, BATCH)

    def withdraw_for(
        self, account: str, *, name: str = "end", payer: str = "coordinator"
    ) -> Receipt:
        """Pay an account's whole credit to itself; ``payer`` only pays the gas."""
        return self.act(f"withdraw/{account}/{name}", payer, "withdraw_for", [account])

    # ------------------------------------------------------------------ rounds

    def open_round(
        self,
        round_id: int,
        model_hash: bytes,
        budget: int,
        *,
        submit_seconds: int | None = None,
        settle_seconds: int = WEEK,
    ) -> Receipt:
        """Open round ``round_id`` (they count from 0 on the ledger) and reserve its budget.

        Args:
            round_id: the contract's ``round_count``.
            model_hash: of the global model the clients start from, 32 bytes.
            budget: the most the round can pay.
            submit_seconds: submissions end this long after the latest block, unless
                :meth:`end_submissions` ends them before. A week, so that a run that crashed in
                between can go on; an hour where time is ours and waits for nobody.
            settle_seconds: and this much later anyone may expire the round.
        """
        if submit_seconds is None:
            submit_seconds = HOUR if self.chain.instant else WEEK

        def arguments() -> list[Any]:
            submit = self.chain.next_time() + submit_seconds
            return [round_id, model_hash, budget, submit, submit + settle_seconds]

        return self.act(
            f"round/{round_id}/open",
            "coordinator",
            "open_round",
            arguments,
            request=[round_id, model_hash, budget, submit_seconds, settle_seconds],
        )

    def sign_submission(self, round_id: int, client: int, commitment: bytes) -> SignedSubmission:
        """A client's signed commitment, for the coordinator to relay."""
        key = self.accounts.key(f"client/{client}")
        return self.hashes.sign_submission(key, round_id, commitment)

    def submit_signed(
        self, round_id: int, submissions: Sequence[SignedSubmission]
    ) -> list[Receipt]:
        """Relay commitments that clients signed; the clients pay no gas."""
        key = f"round/{round_id}/submissions"
        return self.act_in_batches(
            key, "coordinator", "submit_signed", [round_id], submissions, BATCH
        )

    def post_commitments(self, round_id: int, root: bytes, count: int) -> Receipt:
        """Large cohorts: one root over ``count`` commitment leaves instead of submissions."""
        arguments = [round_id, root, count]
        return self.act(
            f"round/{round_id}/commitments", "coordinator", "post_commitments", arguments
        )

    def end_submissions(self, round_id: int) -> Receipt | None:
        """The cohort is complete: end the submissions of a round before their deadline.

        Where the chain's time is ours it is moved to the deadline instead, without a transaction.
        """
        if self.chain.instant:
            self.chain.advance(self._submit_deadline(round_id))
            return None
        return self.act(f"round/{round_id}/end", "coordinator", "end_submissions", [round_id])

    def _submit_deadline(self, round_id: int) -> int:
        """By the receipt of its opening; the contract would have to execute code to say so."""
        opening = self.journal.intent(f"round/{round_id}/open")
        receipt = self.journal.receipt(opening.id) if opening else None
        for event in self.events(receipt) if receipt else ():
            if event.name == "RoundOpened":
                return int(event.args["submit_deadline"])
        return int(self.round(round_id).submit_deadline)

    def settle(self, round_id: int, settlements: Sequence[Settlement]) -> list[Receipt]:
        """Judge submissions: credit accepted clients, record why others were rejected."""
        key = f"round/{round_id}/settle"
        return self.act_in_batches(key, "coordinator", "settle", [round_id], settlements, BATCH)

    def post_rewards(self, round_id: int, root: bytes, allocated: int) -> Receipt:
        """Settle a large cohort: the new cumulative reward root, and by how much it grew."""
        return self.act(
            f"round/{round_id}/rewards",
            "coordinator",
            "post_rewards",
            lambda: [round_id, self.view("reward_epoch"), root, allocated],
            request=[round_id, root, allocated],
        )

    def close_round(self, round_id: int, result_hash: bytes) -> Receipt:
        """Close a fully settled round; what it did not spend returns to the treasury."""
        key = f"round/{round_id}/close"
        return self.act(key, "coordinator", "close_round", [round_id, result_hash])

    # ------------------------------------------------------------------ clients

    def claim(
        self,
        client: str,
        cumulative: int,
        salt: bytes,
        proof: Sequence[bytes],
        *,
        payer: str = "coordinator",
    ) -> Receipt:
        """Credit a client with what the reward root grants it beyond what it claimed before."""
        key = f"claim/{client}/{cumulative}"
        return self.act(key, payer, "claim", [client, cumulative, salt, list(proof)])

    # ------------------------------------------------------------------ audit evidence

    def register_plan(self, plan_hash: bytes) -> Receipt:
        """The auditor states what will be measured, before it is."""
        return self.act(f"plan/{plan_hash.hex()}", "auditor", "register_plan", [plan_hash])

    def record_audits(
        self,
        round_id: int,
        plan_hash: bytes,
        records_sha256: bytes,
        entries: Sequence[AuditEntry],
        *,
        name: str = "",
    ) -> list[Receipt]:
        """Record audit results; one batch after the other, since each extends the hash chain.

        Args:
            round_id: the round the results are about; it must exist.
            plan_hash: a plan from an earlier block.
            records_sha256: of the records the entries are taken from.
            entries: at least one.
            name: tells several recordings of the same records apart.
        """
        key = f"audit/{records_sha256.hex()}" + (f"/{name}" if name else "")
        receipts = []
        for number, start in enumerate(range(0, len(entries), AUDIT_BATCH)):
            batch = list(entries[start : start + AUDIT_BATCH])
            stable = [plan_hash, records_sha256, batch]

            def arguments(stable: list[Any] = stable) -> list[Any]:
                return [round_id, self.view("audit_count"), *stable]

            request = [round_id, *stable]
            receipts.append(
                self.act(f"{key}/{number}", "auditor", "record_audits", arguments, request=request)
            )
        return receipts

    def supersede_audit(self, old_index: int, new_index: int) -> Receipt:
        """A later audit entry takes the place of an earlier one, which stays readable."""
        key = f"supersede/{old_index}/{new_index}"
        return self.act(key, "auditor", "supersede_audit", [old_index, new_index])
