"""One player of the ledger against its ghost: every action is predicted, sent and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant
from ledger_chain import Reverted
from ledger_ghost import CLOSED, OPEN, Ghost, GhostRound, Refused, need
from ledger_world import (
    ADMIN,
    AUDITOR,
    CLIENTS,
    COORDINATOR,
    KEYS,
    OUTSIDER,
    STRANGER,
    World,
    load_artefact,
)
from reference import MerkleTree

SPARE = KEYS[11].public_key.to_checksum_address()
COHORT = [*CLIENTS, OUTSIDER]
EVERYBODY = [ADMIN, COORDINATOR, AUDITOR, STRANGER, SPARE, *COHORT]

Item = TypeVar("Item")
Draw = Callable[[], int]


def pick(items: Sequence[Item], number: int) -> Item:
    """An item, by any number."""
    return items[number % len(items)]


def subset(items: Sequence[Item], bits: int) -> list[Item]:
    """Some of the items."""
    return [item for place, item in enumerate(items) if bits >> (place % 8) & 1]


class Player(RuleBasedStateMachine):
    """A ledger, its ghost, and the comparison of the two."""

    done: ClassVar[Counter[str]] = Counter()
    refused: ClassVar[Counter[str]] = Counter()
    reasons: ClassVar[Counter[str]] = Counter()
    moved: ClassVar[Counter[str]] = Counter()
    outside: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world = World(load_artefact(), treasury=100_000)
        head = self.world.hashes.genesis_head()
        self.ghost = Ghost(ADMIN, COORDINATOR, AUDITOR, head)
        self.ghost.register_clients(COORDINATOR, CLIENTS)
        self.ghost.deposit(STRANGER, 100_000)
        self.steps = 0
        self.grants: dict[str, int] = {}
        self.published: list[tuple[dict[str, int], MerkleTree]] = []
        self._time()

    # ------------------------------------------------------------------ acting

    def _time(self) -> None:
        self.ghost.now, self.ghost.block = self.world.chain.now, self.world.chain.number

    def _act(
        self, name: str, *arguments: Any, sender: str, value: int = 0, ghost: Sequence[Any] = ()
    ) -> bool:
        """Predict, send, compare; ``ghost`` are the ghost's arguments where they differ.

        Value with anything but a deposit must be refused, and without a reason.
        """
        expected = None
        try:
            if name == "deposit":
                self.ghost.deposit(sender, value)
            else:
                need(value == 0, "")
                getattr(self.ghost, name)(sender, *(ghost or arguments))
        except Refused as refusal:
            expected = str(refusal)
        actual = None
        try:
            self.world.call(name, *arguments, sender=sender, value=value)
        except Reverted as refusal:
            actual = refusal.reason
        assert actual == expected, f"{name}: contract {actual!r}, ghost {expected!r}"
        (self.done if actual is None else self.refused)[name] += 1
        if actual is not None:
            self.reasons[actual or "value"] += 1
        return actual is None

    def _role(self, role: str, number: int) -> str:
        """Nearly always the holder of the role."""
        return pick(EVERYBODY, number) if number < 12 else str(getattr(self.ghost, role))

    def _round(self, wanted: Sequence[int], number: int) -> int:
        """Mostly one of the wanted rounds, sometimes any, or one that does not exist."""
        if wanted and number < 235:
            return pick(wanted, number)
        return number % (len(self.ghost.rounds) + 1)

    def _rounds(self, state: int, ended: bool | None = None) -> list[int]:
        """Ids of rounds in a state; ``ended``: whether their submissions have."""
        return [
            number
            for number, found in enumerate(self.ghost.rounds)
            if found.state == state
            and (ended is None or (self.ghost.now >= found.submit_deadline) == ended)
        ]

    # ------------------------------------------------------------------ comparing

    @invariant()
    def totals_agree(self) -> None:
        ghost, view = self.ghost, self.world.view
        names = ("treasury", "reserved", "reward_pool", "total_credits")
        buckets = tuple(view(name) for name in names)
        assert buckets == ghost.buckets()
        assert self.world.balance() == sum(buckets) + ghost.forced
        assert sum(buckets) == ghost.paid_in - ghost.paid_out
        assert view("audit_head") == ghost.heads[-1]
        self.steps += 1
        if self.steps % 25 == 0:
            self.everything_agrees()

    def teardown(self) -> None:
        self.everything_agrees()

    def everything_agrees(self) -> None:
        """All that views show: roles, rounds, submissions, credits, claims, audits."""
        ghost, view = self.ghost, self.world.view
        roles = tuple(view(name) for name in ("admin", "coordinator", "auditor"))
        assert roles == (ghost.admin, ghost.coordinator, ghost.auditor)
        assert view("coordinator") != view("auditor")
        assert view("client_count") == len(ghost.clients)
        assert view("round_count") == len(ghost.rounds)
        assert view("audit_count") == len(ghost.audits)
        for account in EVERYBODY:
            assert view("credits", account) == ghost.credits[account]
            assert view("claimed", account) == ghost.claimed[account]
        assert sum(ghost.claimed.values()) == ghost.allocated - ghost.swept - ghost.pool
        rewards = tuple(view(name) for name in ("reward_root", "reward_epoch", "claims_end"))
        assert rewards == (ghost.reward_root, ghost.epoch, ghost.claims_end)
        for number, found in enumerate(ghost.rounds):
            self._round_agrees(number, found)
        assert view("reserved") == sum(r.budget - r.spent for r in self._stored(OPEN))
        for number, audit in enumerate(view("get_audits", 0, 128)):
            assert tuple(vars(audit.entry).values()) == ghost.audits[number]
            assert (audit.superseded_by if audit.superseded else None) == ghost.superseded.get(
                number
            )
        for link, head in enumerate(ghost.heads):
            assert view("head_at", link) == head

    def _stored(self, state: int) -> list[Any]:
        count = self.world.view("round_count")
        stored = (self.world.view("get_round", number) for number in range(count))
        return [found for found in stored if found.state == state]

    def _round_agrees(self, number: int, found: GhostRound) -> None:
        stored = self.world.view("get_round", number)
        assert stored.spent <= stored.budget
        assert (stored.state, stored.budget, stored.spent) == (
            found.state,
            found.budget,
            found.spent,
        )
        deadlines = (stored.submit_deadline, stored.settle_deadline)
        assert deadlines == (found.submit_deadline, found.settle_deadline)
        counts = (stored.submitted, stored.settled, stored.rooted)
        assert counts == (len(found.commitments), len(found.outcomes), found.rooted)
        assert stored.rewards_posted == found.rewards_posted
        if found.state == CLOSED:
            assert stored.submitted == stored.settled
        for client in COHORT:
            submission = self.world.view("get_submission", number, client)
            assert submission.commitment == found.commitments.get(client, bytes(32))
            assert submission.outcome == found.outcomes.get(client, 0)
