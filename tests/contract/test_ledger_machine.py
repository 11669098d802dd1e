"""The ledger against its ghost: random actions, biased so that money is reached and moves.

Each action is predicted by :mod:`ledger_ghost`: success or the exact reason of the refusal. After
each, the contract's totals must be the ghost's; every 25 actions everything is compared. The run
counts successes and refusals per function: a rule that was hardly ever carried out proves nothing.

``PRIVAUDIT_LEDGER_ACTIONS`` sets the number of actions (default 20,000, always the same ones;
another number draws new ones every time).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from ledger_ghost import FULL_YEAR, OPEN, Ghost, GhostRound
from ledger_player import COHORT, EVERYBODY, SPARE, Draw, Player, pick, subset
from ledger_world import (
    ACCEPTED,
    ADMIN,
    AUDITOR,
    CLIENT_KEYS,
    COORDINATOR,
    KEYS,
    MODEL,
    RECORDS,
    STRANGER,
    entry,
    load_artefact,
    word,
)
from reference import MerkleTree, property_id
from tabulate import tabulate

ACTIONS_IN_CI = 20_000
ACTIONS = int(os.environ.get("PRIVAUDIT_LEDGER_ACTIONS", ACTIONS_IN_CI))
MUTANT = "PRIVAUDIT_LEDGER_ARTEFACT" in os.environ
STEPS = 200
MANY_ROUNDS = 3
MANY_AUDITS = 40
ACTIONS_ANY_TIME = (
    *("wait", "wait", "wait", "force_ether", "change_roles", "register", "deposit"),
    *("release", "withdraw", "open_round", "submit", "submit_signed", "end_submissions"),
    *("post_commitments", "post_commitments", "settle", "post_rewards", "claim", "close_round"),
    *("expire_round", "register_plan", "record_audits", "supersede", "sweep_rewards"),
    *("sweep_forced", "value_with_anything"),
)


class LedgerMachine(Player):
    """What can be done, and what is worth doing now."""

    # ------------------------------------------------------------------ choosing

    @rule(seed=st.integers(0, 2**32 - 1))
    def act(self, seed: int) -> None:
        """One action: mostly one that has a chance now, with arguments that mostly make sense.

        Hypothesis draws the seed only: its own choice of rules and small numbers seldom gets to
        where money is paid. The step goes in, because Hypothesis likes to repeat itself.
        """
        dice = random.Random(f"{seed} {self.steps}")
        name = dice.choice([*ACTIONS_ANY_TIME, *(4 * list(self._promising()))])
        getattr(self, name)(lambda: dice.randrange(256))

    def _promising(self) -> Iterator[str]:
        """Actions that a step towards a payment needs now."""
        ghost = self.ghost
        for number, found in enumerate(ghost.rounds):
            if found.state == OPEN:
                yield from self._next(number, found)
        if self._owed():
            yield "claim"
        if len(self._rounds(OPEN)) < MANY_ROUNDS:
            yield from ("open_round", "open_round")
        if any(ghost.credits.values()):
            yield "withdraw"
        if ghost.pending:
            yield "change_roles"
        if ghost.pool and ghost.now >= ghost.claims_end:
            yield "sweep_rewards"
        if len(ghost.audits) < MANY_AUDITS:
            yield "record_audits"

    def _next(self, number: int, found: GhostRound) -> tuple[str, ...]:
        """What brings an open round on; every third is left to stall."""
        if self.ghost.now < found.submit_deadline:
            root = ("post_commitments",) if number % 2 == 0 and not found.rooted else ()
            return ("submit", "submit_signed", *root)
        if number % 3 == 0:
            return ("wait" if self.ghost.now < found.settle_deadline else "expire_round",)
        if found.commitments.keys() != found.outcomes.keys():
            return ("settle",)
        if found.rooted and not found.rewards_posted:
            return ("post_rewards",)
        return ("close_round",)

    def _owed(self) -> list[str]:
        """Who can claim under the latest root."""
        grants = self.published[-1][0] if self.published else {}
        ghost = self.ghost
        return [c for c, wei in grants.items() if wei > ghost.claimed[c] and c in ghost.clients]

    # ------------------------------------------------------------------ time, ether from outside

    def wait(self, draw: Draw) -> None:
        number = draw()
        open_rounds = [found for found in self.ghost.rounds if found.state == OPEN]
        marks = [r.submit_deadline for r in open_rounds]
        if number % 3 == 0:
            marks += [r.settle_deadline for r in open_rounds]
        ahead = [mark for mark in marks if mark > self.ghost.now]
        self.outside["wait"] += 1
        seconds = min(ahead) - self.ghost.now if ahead and number % 2 == 0 else number % 3
        if self.ghost.pool and number < 48:
            seconds = max(0, self.ghost.claims_end - self.ghost.now - number % 2)
        self.world.chain.mine(seconds)
        self._time()

    def force_ether(self, draw: Draw) -> None:
        number = draw()
        self.outside["force_ether"] += 1
        self.ghost.forced += number
        self.world.chain.fund(self.world.ledger.address, self.world.balance() + number)

    # ------------------------------------------------------------------ roles and money

    def change_roles(self, draw: Draw) -> None:
        number, who = draw(), draw()
        sender = self._role("admin", who)
        name = pick(["set_coordinator", "set_auditor", "offer_admin", "accept_admin"], number)
        name = "accept_admin" if self.ghost.pending and number % 3 else name
        if name == "accept_admin":
            offered = self.ghost.pending if number > 60 else ""
            self._act(name, sender=offered or pick(EVERYBODY, who))
            return
        self._act(name, pick([COORDINATOR, AUDITOR, ADMIN, SPARE], number // 4), sender=sender)

    def register(self, draw: Draw) -> None:
        number, who = draw(), draw()
        known = len(self.ghost.clients)
        fresh = [f"0x{0xC0FFEE00 + known + place:040x}" for place in range(number % 4)]
        if number > 200:
            fresh = [*fresh, pick(COHORT, number)]
        self._act("register_clients", fresh, sender=self._role("coordinator", who))

    def deposit(self, draw: Draw) -> None:
        number = draw()
        self._act("deposit", sender=STRANGER, value=number * 10)

    def sweep_rewards(self, draw: Draw) -> None:
        pool = self.ghost.pool
        if self._act("sweep_rewards", sender=self._role("admin", draw())):
            self.moved["swept"] += pool

    def sweep_forced(self, draw: Draw) -> None:
        self._act("sweep_forced", sender=pick(EVERYBODY, draw()))

    def value_with_anything(self, draw: Draw) -> None:
        """A call that would be fine but for the value it sends."""
        number, wei = draw(), 1 + draw()
        round_id = pick(self._rounds(OPEN) or [0], number)
        now = self.ghost.now
        opening = (len(self.ghost.rounds), MODEL, 1, now + 5, now + 9)
        name, sender, arguments = pick(
            [
                ("open_round", self.ghost.coordinator, opening),
                ("submit", pick(COHORT, number), (round_id, word("paid for"))),
                ("close_round", self.ghost.coordinator, (round_id, word("result"))),
                ("withdraw", pick(COHORT, number), (STRANGER,)),
            ],
            number,
        )
        self._act(name, *arguments, sender=sender, value=wei)

    def release(self, draw: Draw) -> None:
        number, who = draw(), draw()
        amount = self.ghost.treasury + 1 if number > 220 else number * 3
        self._act("release_treasury", pick(EVERYBODY, who), amount, sender=self._role("admin", who))

    def withdraw(self, draw: Draw) -> None:
        number, way = draw(), draw()
        rich = [account for account, credit in self.ghost.credits.items() if credit]
        account = pick(rich, number) if rich and number < 240 else pick(EVERYBODY, number)
        to = account if way % 2 else SPARE
        before = self.world.chain.evm.get_balance(to)
        credit = self.ghost.credits[account]
        name, sender = ("withdraw_for", STRANGER) if way % 2 else ("withdraw", account)
        if self._act(name, to, sender=sender):
            assert self.world.chain.evm.get_balance(to) == before + credit
            self.moved["withdrawn"] += credit

    # ------------------------------------------------------------------ rounds

    def open_round(self, draw: Draw) -> None:
        number, length, who = draw(), draw(), draw()
        ghost = self.ghost
        wrong = {number > 235: -1, number > 245: 1}.get(True, 0)
        round_id = max(0, len(ghost.rounds) + wrong)
        budget = ghost.treasury + 1 if number > 240 else number * 11
        submit = ghost.now + length % 40
        settle = ghost.now + FULL_YEAR + 1 if length % 16 == 9 else submit + length // 8
        sender = self._role("coordinator", who)
        self._act("open_round", round_id, MODEL, budget, submit, settle, sender=sender)

    def submit(self, draw: Draw) -> None:
        number, who = draw(), draw()
        round_id = self._round(self._rounds(OPEN, ended=False), number)
        commitment = word(f"{round_id} {who}")
        self._act("submit", round_id, commitment, sender=pick([*COHORT, STRANGER], who))

    def submit_signed(self, draw: Draw) -> None:
        number, bits = draw(), draw()
        round_id = self._round(self._rounds(OPEN, ended=False), number)
        signers = subset([*CLIENT_KEYS, KEYS[10]], bits & ~(64 if bits < 200 else 0))
        commitment = word(f"signed {number}")
        items = [self.world.hashes.signed(key, round_id, commitment) for key in signers]
        owners = [key.public_key.to_checksum_address() for key in signers]
        if number < 10 and items:
            items[0] = (pick(COHORT, bits), *items[0][1:])
        if number % 7 == 0:
            items, owners = items + items[:1], owners + owners[:1]
        claimed = [
            (item[0], item[1], self._signer(item, o)) for item, o in zip(items, owners, strict=True)
        ]
        self._act("submit_signed", round_id, items, sender=STRANGER, ghost=(round_id, claimed))

    @staticmethod
    def _signer(item: tuple[Any, ...], owner: str) -> str:
        """Who a signature proves: nobody in particular if the client was exchanged."""
        return owner if item[0] == owner else "somebody else"

    def end_submissions(self, draw: Draw) -> None:
        number, who = draw(), draw()
        wanted = [r for r in self._rounds(OPEN, ended=False) if self.ghost.rounds[r].commitments]
        round_id = self._round(wanted, number)
        self._act("end_submissions", round_id, sender=self._role("coordinator", who))

    def post_commitments(self, draw: Draw) -> None:
        number, who = draw(), draw()
        late = number % 8 == 0
        wanted = [r for r in self._rounds(OPEN, ended=late) if not self.ghost.rounds[r].rooted]
        round_id = self._round([r for r in wanted if r % 2 == 0], number)
        count = len(self.ghost.clients) + 1 - number % 5 if number % 3 else number % 5
        arguments = (round_id, word(f"root {round_id}"), count)
        self._act("post_commitments", *arguments, sender=self._role("coordinator", who))

    def settle(self, draw: Draw) -> None:
        number, bits, money, who = draw(), draw(), draw(), draw()
        rounds = self.ghost.rounds
        ended = self._rounds(OPEN, ended=True)
        wanted = [r for r in ended if rounds[r].commitments.keys() - rounds[r].outcomes.keys()]
        round_id = self._round(wanted, number)
        items: list[tuple[str, int, int]] = []
        if round_id < len(rounds):
            items = self._settlements(rounds[round_id], bits, money)
        if money > 210:
            items.insert(0, (pick(COHORT, bits), 1, money % 3))
        self._act("settle", round_id, items, sender=self._role("coordinator", who))

    @staticmethod
    def _settlements(found: GhostRound, bits: int, money: int) -> list[tuple[str, int, int]]:
        waiting = [client for client in found.commitments if client not in found.outcomes]
        chosen = waiting if bits > 100 else subset(waiting, bits)
        share = (found.budget - found.spent) // max(1, len(chosen)) + (money % 16 == 7)
        paid = share if money % 2 else share * money // 300
        rejected = subset(chosen, money & bits)
        return [(c, 0, 2 + bits % 254) if c in rejected else (c, paid, ACCEPTED) for c in chosen]

    def post_rewards(self, draw: Draw) -> None:
        number, bits, money, who = draw(), draw(), draw(), draw()
        rounds = self.ghost.rounds
        ended = self._rounds(OPEN, ended=True)
        again = number % 4 == 0
        wanted = [r for r in ended if rounds[r].rooted and rounds[r].rewards_posted == again]
        round_id = self._round(wanted, number)
        left = rounds[round_id].budget - rounds[round_id].spent if round_id < len(rounds) else 10
        lucky = subset(COHORT, bits)
        grants = dict.fromkeys(COHORT, 0) | self.grants
        for client in lucky:
            grants[client] += left // len(lucky)
        allocated = left // len(lucky) * len(lucky) if lucky else 0
        allocated = {0: left + 1, 1: 0, 2: allocated // 2}.get(money % 8, allocated)
        if money == 255:
            grants[pick(COHORT, bits)] = 0
        tree = MerkleTree([self._reward_leaf(*pair) for pair in grants.items()])
        epoch = self.ghost.epoch + (money > 245)
        arguments = (round_id, epoch, tree.root, allocated)
        if self._act("post_rewards", *arguments, sender=self._role("coordinator", who)):
            self.grants = grants
            self.published.append((grants, tree))

    def _reward_leaf(self, client: str, cumulative: int) -> bytes:
        return self.world.hashes.reward_leaf(client, cumulative, word(f"salt {client}"))

    def claim(self, draw: Draw) -> None:
        number, which = draw(), draw()
        if not self.published:
            self.outside["no root yet"] += 1
            return
        back = 1 if which < 240 or len(self.published) == 1 else 2
        grants, tree = self.published[-back]
        owed = self._owed()
        client = pick(owed, number) if owed and number < 230 else pick(COHORT, number)
        wei = grants[client] + (number > 250)
        proof = tree.proof(list(grants).index(client))
        root = tree.root if number <= 250 else b"changed"
        ghost = (client, wei, root)
        arguments = (client, wei, word(f"salt {client}"), proof)
        if self._act("claim", *arguments, sender=STRANGER, ghost=ghost):
            self.moved["claimed"] += wei

    def close_round(self, draw: Draw) -> None:
        number, who = draw(), draw()
        rounds = self.ghost.rounds
        ready = [
            r
            for r in self._rounds(OPEN, ended=True)
            if rounds[r].outcomes.keys() == rounds[r].commitments.keys()
            and (rounds[r].rewards_posted or not rounds[r].rooted)
        ]
        round_id = self._round(ready, number)
        arguments = (round_id, word("result"))
        role = self._role("coordinator", who)
        self._act("close_round", *arguments, sender=role, ghost=(round_id,))

    def expire_round(self, draw: Draw) -> None:
        number = draw()
        rounds = self.ghost.rounds
        late = [r for r in self._rounds(OPEN) if rounds[r].settle_deadline <= self.ghost.now]
        late = [r for r in late if r % 3 == 0] or late
        self._act("expire_round", self._round(late, number), sender=STRANGER)

    # ------------------------------------------------------------------ audits

    def register_plan(self, draw: Draw) -> None:
        number, who = draw(), draw()
        number = number if number > 200 else len(self.ghost.plans)
        self._act("register_plan", word(f"plan {number}"), sender=self._role("auditor", who))

    def record_audits(self, draw: Draw) -> None:
        number, which, who = draw(), draw(), draw()
        round_id = self._round(range(len(self.ghost.rounds))[-3:], which)
        plans = self.ghost.plans
        old = [plan for plan, (_, rounds) in plans.items() if rounds <= round_id]
        known = old if old and which < 200 else list(plans)
        plan = pick(known, number) if known and which < 245 else word("unregistered")
        names = ["bold", "italic", "serif"]
        entries = [
            entry(property_id=property_id(pick(names, number + place)), value=1_000 * number)
            for place in range(number % 4)
        ]
        count = len(self.ghost.audits) + (which in (3, 4))
        arguments = (round_id, count, plan, RECORDS, entries)
        self._act("record_audits", *arguments, sender=self._role("auditor", who))

    def supersede(self, draw: Draw) -> None:
        old, new, who = draw(), draw(), draw()
        audits = len(self.ghost.audits)
        pair = (old % (audits + 1), new % (audits + 1))
        if self.ghost.superseded and new % 4 == 0:
            pair = (pick(list(self.ghost.superseded), old), audits - 1)
        self._act("supersede_audit", *pair, sender=self._role("auditor", who))


def _settings() -> settings:
    return settings(
        max_examples=1 + ACTIONS * 11 // (10 * STEPS),  # some examples end early
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=ACTIONS == ACTIONS_IN_CI,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if MUTANT else [Phase.generate, Phase.shrink],
    )


MONEY_REASONS = {
    *("over budget", "already settled", "nothing submitted", "rejected clients earn nothing"),
    *("claims exceed the allocation", "nothing to claim", "claims have not ended", "value"),
    *("rewards already posted", "no credit", "treasury too small", "nothing to sweep"),
    *("more leaves than clients", "plan not older than the round"),
}


def test_the_ledger_does_what_its_ghost_does() -> None:
    run_state_machine_as_test(LedgerMachine, settings=_settings())
    if MUTANT:
        return  # a mutant must be told by what it does, not by how often
    done, refused = LedgerMachine.done, LedgerMachine.refused
    print(f"{done.total():,} actions done, {refused.total():,} refused, as the ghost foretold:")
    rows = [(name, done[name], refused[name]) for name in sorted(done | refused)]
    print(tabulate(rows, ("function", "done", "refused"), "github"))
    actions = done.total() + refused.total() + LedgerMachine.outside.total()
    assert actions >= ACTIONS
    ghostly = {name for name in vars(Ghost) if not name.startswith("_")} - {"buckets"}
    print({reason: LedgerMachine.reasons[reason] for reason in sorted(MONEY_REASONS)})
    assert done.keys() == ghostly
    assert min(done.values()) >= ACTIONS // 2_000
    assert min(LedgerMachine.moved.values()) >= ACTIONS // 4
    if ACTIONS >= ACTIONS_IN_CI:
        assert LedgerMachine.reasons.keys() >= MONEY_REASONS


def test_the_ghost_knows_every_function_that_changes_state() -> None:
    functions = load_artefact()["abi"]
    writing = {
        item["name"]
        for item in functions
        if item["type"] == "function" and item["stateMutability"] in ("nonpayable", "payable")
    }
    assert writing <= vars(Ghost).keys()
