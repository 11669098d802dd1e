"""The ghost ledger: the contract's rules once more, in plain Python, refusals included.

Every method checks first and changes afterwards, in the contract's order, so that a refusal names
the same reason and leaves the ghost as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from reference import Entry, batch_head, plan_head, supersede_head

OPEN, CLOSED, EXPIRED = 1, 2, 3
FULL_YEAR = 366 * 86_400
NONE = bytes(32)


class Refused(Exception):  # noqa: N818 - a result, named for what happened
    """The rule that forbids the action."""


def need(condition: bool, reason: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(reason)


@dataclass
class GhostRound:
    """One round."""

    budget: int
    submit_deadline: int
    settle_deadline: int
    state: int = OPEN
    spent: int = 0
    root: bytes = NONE
    rooted: int = 0
    rewards_posted: bool = False
    commitments: dict[str, bytes] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)


class Ghost:
    """State and rules. ``now`` and ``block`` are set by whoever moves the chain."""

    def __init__(self, admin: str, coordinator: str, auditor: str, head: bytes) -> None:
        self.now = self.block = 0
        self.admin, self.pending = admin, ""
        self.coordinator, self.auditor = coordinator, auditor
        self.treasury = self.reserved = self.pool = self.forced = 0
        self.credits: defaultdict[str, int] = defaultdict(int)
        self.paid_in = self.paid_out = 0
        self.clients: list[str] = []
        self.rounds: list[GhostRound] = []
        self.reward_root = NONE
        self.epoch = 0
        self.allocated = self.swept = self.claims_end = 0
        self.claimed: defaultdict[str, int] = defaultdict(int)
        self.heads = [head]
        self.plans: dict[bytes, tuple[int, int]] = {}
        self.audits: list[Entry] = []
        self.superseded: dict[int, int] = {}

    # ------------------------------------------------------------------ roles and money

    def offer_admin(self, sender: str, candidate: str) -> None:
        need(sender == self.admin, "only the admin")
        self.pending = candidate

    def accept_admin(self, sender: str) -> None:
        need(sender == self.pending, "only the offered admin")
        self.admin, self.pending = sender, ""

    def set_coordinator(self, sender: str, account: str) -> None:
        need(sender == self.admin, "only the admin")
        need(account != self.auditor, "coordinator is the auditor")
        self.coordinator = account

    def set_auditor(self, sender: str, account: str) -> None:
        need(sender == self.admin, "only the admin")
        need(account != self.coordinator, "auditor is the coordinator")
        self.auditor = account

    def register_clients(self, sender: str, clients: Sequence[str]) -> None:
        need(sender == self.coordinator, "only the coordinator")
        need(bool(clients), "empty batch")
        fresh = len(set(clients)) == len(clients) and not set(clients) & set(self.clients)
        need(fresh, "already registered")
        self.clients += clients

    def deposit(self, sender: str, value: int) -> None:
        need(value > 0, "nothing deposited")
        self.paid_in += value
        self.treasury += value

    def release_treasury(self, sender: str, to: str, amount: int) -> None:
        need(sender == self.admin, "only the admin")
        need(amount > 0, "amount is zero")
        need(amount <= self.treasury, "treasury too small")
        self.treasury -= amount
        self.credits[to] += amount

    def sweep_forced(self, sender: str) -> None:
        need(self.forced > 0, "nothing to sweep")
        self.paid_in += self.forced
        self.treasury += self.forced
        self.forced = 0

    def withdraw(self, sender: str, to: str) -> None:
        need(self.credits[sender] > 0, "no credit")
        self.paid_out += self.credits.pop(sender)

    def withdraw_for(self, sender: str, account: str) -> None:
        self.withdraw(account, account)

    # ------------------------------------------------------------------ rounds

    def _open(self, round_id: int) -> GhostRound:
        need(round_id < len(self.rounds), "round not open")
        need(self.rounds[round_id].state == OPEN, "round not open")
        return self.rounds[round_id]

    def _submitting(self, round_id: int) -> GhostRound:
        found = self._open(round_id)
        need(self.now < found.submit_deadline, "submissions have ended")
        return found

    def _settling(self, round_id: int) -> GhostRound:
        found = self._open(round_id)
        need(self.now >= found.submit_deadline, "submissions have not ended")
        return found

    def open_round(
        self,
        sender: str,
        round_id: int,
        model: bytes,
        budget: int,
        submit: int,
        settle: int,
    ) -> None:
        need(sender == self.coordinator, "only the coordinator")
        need(round_id == len(self.rounds), "round id out of sequence")
        need(budget > 0, "budget is zero")
        need(budget <= self.treasury, "treasury too small")
        need(submit > self.now, "submit deadline has passed")
        need(settle > submit, "settle deadline not after submit deadline")
        need(settle <= self.now + FULL_YEAR, "settle deadline too far")
        self.treasury -= budget
        self.reserved += budget
        self.rounds.append(GhostRound(budget, submit, settle))

    def submit(self, sender: str, round_id: int, commitment: bytes) -> None:
        found = self._submitting(round_id)
        need(sender not in found.commitments, "already submitted")
        need(sender in self.clients, "not registered")
        found.commitments[sender] = commitment

    def submit_signed(
        self, sender: str, round_id: int, items: Sequence[tuple[str, bytes, str]]
    ) -> None:
        """Items are (client, commitment, actual signer)."""
        found = self._submitting(round_id)
        need(bool(items), "empty batch")
        recorded: dict[str, bytes] = {}
        for client, commitment, signer in items:
            if client in found.commitments or client in recorded:
                continue
            need(signer == client, "signature of another account")
            need(client in self.clients, "not registered")
            recorded[client] = commitment
        found.commitments |= recorded

    def end_submissions(self, sender: str, round_id: int) -> None:
        need(sender == self.coordinator, "only the coordinator")
        self._submitting(round_id).submit_deadline = self.now

    def post_commitments(self, sender: str, round_id: int, root: bytes, count: int) -> None:
        need(sender == self.coordinator, "only the coordinator")
        found = self._submitting(round_id)
        need(found.rooted == 0, "commitments already posted")
        need(count > 0, "count is zero")
        need(count <= len(self.clients), "more leaves than clients")
        found.root, found.rooted = root, count

    def settle(self, sender: str, round_id: int, items: Sequence[tuple[str, int, int]]) -> None:
        need(sender == self.coordinator, "only the coordinator")
        found = self._settling(round_id)
        need(bool(items), "empty batch")
        judged: dict[str, int] = {}
        for client, amount, outcome in items:
            need(client in found.commitments, "nothing submitted")
            need(client not in found.outcomes and client not in judged, "already settled")
            need(outcome != 0, "outcome is missing")
            need(outcome == 1 or amount == 0, "rejected clients earn nothing")
            judged[client] = outcome
        total = sum(amount for _, amount, _ in items)
        self._spend(found, total)
        found.outcomes |= judged
        for client, amount, _ in items:
            self.credits[client] += amount

    def _spend(self, found: GhostRound, amount: int) -> None:
        need(found.spent + amount <= found.budget, "over budget")
        found.spent += amount
        self.reserved -= amount

    def post_rewards(
        self, sender: str, round_id: int, epoch: int, root: bytes, allocated: int
    ) -> None:
        need(sender == self.coordinator, "only the coordinator")
        found = self._settling(round_id)
        need(epoch == self.epoch, "reward epoch out of sequence")
        need(found.rooted > 0, "no commitments posted")
        need(not found.rewards_posted, "rewards already posted")
        self._spend(found, allocated)
        self.pool += allocated
        self.allocated += allocated
        self.reward_root = root
        self.epoch += 1
        self.claims_end = self.now + FULL_YEAR
        found.rewards_posted = True

    def claim(self, sender: str, client: str, cumulative: int, root: bytes) -> None:
        """``root`` is what leaf and proof lead to."""
        need(client in self.clients, "not registered")
        need(root == self.reward_root, "proof does not match")
        amount = cumulative - self.claimed[client]
        need(amount > 0, "nothing to claim")
        need(amount <= self.pool, "claims exceed the allocation")
        self.claimed[client] = cumulative
        self.pool -= amount
        self.credits[client] += amount

    def sweep_rewards(self, sender: str) -> None:
        need(sender == self.admin, "only the admin")
        need(self.pool > 0, "nothing to sweep")
        need(self.now >= self.claims_end, "claims have not ended")
        self.treasury += self.pool
        self.swept += self.pool
        self.pool, self.reward_root = 0, NONE

    def close_round(self, sender: str, round_id: int) -> None:
        need(sender == self.coordinator, "only the coordinator")
        found = self._settling(round_id)
        need(found.outcomes.keys() == found.commitments.keys(), "submissions not settled")
        need(found.rooted == 0 or found.rewards_posted, "rewards not posted")
        found.state = CLOSED
        self._return_unspent(found)

    def _return_unspent(self, found: GhostRound) -> None:
        self.reserved -= found.budget - found.spent
        self.treasury += found.budget - found.spent

    def expire_round(self, sender: str, round_id: int) -> None:
        found = self._open(round_id)
        need(self.now >= found.settle_deadline, "settle deadline not reached")
        found.state = EXPIRED
        self._return_unspent(found)

    # ------------------------------------------------------------------ audits

    def register_plan(self, sender: str, plan: bytes) -> None:
        need(sender == self.auditor, "only the auditor")
        need(plan not in self.plans, "plan already registered")
        self.plans[plan] = (self.block, len(self.rounds))
        link = len(self.heads)
        self.heads.append(plan_head(self.heads[-1], link, plan, len(self.rounds), self.now))

    def record_audits(
        self,
        sender: str,
        round_id: int,
        count: int,
        plan: bytes,
        records: bytes,
        entries: Sequence[Entry],
    ) -> None:
        need(sender == self.auditor, "only the auditor")
        need(round_id < len(self.rounds), "no such round")
        need(count == len(self.audits), "audit count out of sequence")
        need(plan in self.plans, "plan not registered")
        block, rounds = self.plans[plan]
        need(block < self.block, "plan not older than its results")
        need(rounds <= round_id, "plan not older than the round")
        need(bool(entries), "empty batch")
        self.audits += entries
        about = (round_id, plan, records, count, self.now)
        self.heads.append(batch_head(self.heads[-1], len(self.heads), *about, entries))

    def supersede_audit(self, sender: str, old: int, new: int) -> None:
        need(sender == self.auditor, "only the auditor")
        need(new < len(self.audits), "no such audit")
        need(old < new, "superseded by an earlier audit")
        need(old not in self.superseded, "already superseded")
        self.superseded[old] = new
        self.heads.append(supersede_head(self.heads[-1], len(self.heads), old, new))

    # ------------------------------------------------------------------ totals

    def buckets(self) -> tuple[int, ...]:
        """Treasury, reserved, reward pool, credits."""
        return self.treasury, self.reserved, self.pool, sum(self.credits.values())
