"""From an action to a mined transaction, once, whatever happens in between.

For every action: sign → simulate → journal → send → receipt by hash → mined → final after k
blocks. An action has a stable key; asking for it again after a crash finds it in the journal, sends
the identical bytes again if need be, and otherwise does nothing. What became of it is read from
receipts, never from a node's error texts, because these differ from node to node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .accounts import Accounts, sign, unsign
from .chain import Call, Chain, Fees, Receipt, Signed
from .errors import LedgerError, Reverted
from .journal import Entry, Intent, Journal
from .reconcile import Reconciler

PIPELINE = 16
"""Transactions of one account that may wait in a node's pool together (geth keeps 16 at least)."""
BUMP = 1.125
"""What a replacement must offer at least, as a factor of the fees it replaces."""


@dataclass(frozen=True)
class Patience:
    """How long to wait on a node, in seconds, and how much to pay, in wei per gas.

    Attributes:
        mined: give up on a transaction after this long; the journal keeps it, a later run goes on.
        stuck: offer more for a transaction after this long.
        again: send the same bytes again after this long.
        poll: longest pause between two looks.
        fee_limit: never offer more than this per gas.
    """

    mined: float = 600.0
    stuck: float = 45.0
    again: float = 10.0
    poll: float = 1.0
    fee_limit: int = 500 * 10**9


@dataclass(frozen=True)
class Action:
    """Something to be done on the chain, once.

    Attributes:
        key: stable name, e.g. ``round/3/settle/0``.
        sender: account name.
        to: the contract; None deploys it.
        build: makes call data and wei to send, when (and only when) a transaction is signed.
        request: digest of what the caller asked for; asking for something else under the same key
            is refused.
        gas: gas limit.
    """

    key: str
    sender: str
    to: str | None
    build: Callable[[], tuple[bytes, int]]
    request: bytes
    gas: int


class Sender:
    """Carries out actions on a chain, by way of a journal.

    Args:
        chain: where to.
        journal: an open journal that is tied to this chain.
        accounts: who signs.
        confirmations: an action is final when its block and this many less one above it stand.
        patience: how long to wait for what.
        sleep: for tests.
        clock: for tests; seconds, never going back.
    """

    def __init__(
        self,
        chain: Chain,
        journal: Journal,
        accounts: Accounts,
        *,
        confirmations: int = 1,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain = chain
        self._journal = journal
        self._accounts = accounts
        self._confirmations = confirmations
        self.reconciler = Reconciler(chain, journal, confirmations)
        self._patience = patience or Patience()
        self._sleep = sleep
        self._clock = clock

    def act(self, actions: Sequence[Action]) -> list[Receipt]:
        """Carry out actions that do not depend on one another; each is mined on return.

        Raises:
            Reverted: the contract refuses one (nothing of it was sent), or it was mined and failed.
            LedgerError: another request under the same key, or the node fails us; what was signed
                stays in the journal and the same call goes on from there.
        """
        self.reconciler.watch()
        size = 1 if self._chain.instant else PIPELINE
        receipts: list[Receipt] = []
        for start in range(0, len(actions), size):
            receipts += self._together(actions[start : start + size])
        return receipts

    def _together(self, actions: Sequence[Action]) -> list[Receipt]:
        complaints: dict[bytes, str | None] = {}
        new = [action for action in actions if self._is_new(action)]
        if new:
            signed = self._prepare(new)
            complaints = {item.hash: self._chain.send(item.raw) for item in signed}
        return [self._outcome(action, complaints) for action in actions]

    def _is_new(self, action: Action) -> bool:
        known = self._journal.intent(action.key)
        if known is None or known.status == "failed":
            return True
        if known.request != action.request:
            raise LedgerError(
                "the journal holds another request under this key",
                where=action.key,
                remedy="the run differs from the one that began this ledger; use a new run folder",
            )
        return False

    # ------------------------------------------------------------------ before sending

    def _prepare(self, actions: Sequence[Action]) -> list[Signed]:
        """Sign, simulate and journal; nothing is kept unless all would succeed."""
        fees = self._fees()
        nonces: dict[str, int] = {}
        signed = []
        records = []
        for action in actions:
            key = self._accounts.key(action.sender)
            data, value = action.build()
            account = key.public_key.to_checksum_address()
            call = Call(sender=account, to=action.to, data=data, value=value, gas=action.gas)
            nonce = nonces.setdefault(call.sender, self._next_nonce(call.sender))
            nonces[call.sender] += 1
            item = sign(key, self._chain.chain_id, call, nonce, fees)
            block_time = self._chain.next_time() if self._chain.instant else None
            try:
                self._chain.simulate(item)
            except Reverted as error:
                raise Reverted(error.reason, where=action.key) from None
            signed.append(item)
            records.append((action.key, action.request, _entry(item, block_time)))
        self._check_funds(signed, actions)
        self._journal.record(records)
        return signed

    def _next_nonce(self, sender: str) -> int:
        if self._chain.instant:
            return self._chain.nonce(sender)
        pending = self._chain.pending_nonce(sender)
        ours = self._journal.next_nonce(sender)
        if pending < ours:
            self.reconciler.resend()
        return max(pending, ours)

    def _fees(self) -> Fees:
        fees = self._chain.fees()
        if fees.most > self._patience.fee_limit:
            raise LedgerError(
                f"the chain asks for {fees.most / 1e9:g} gwei per gas, more than the limit of "
                f"{self._patience.fee_limit / 1e9:g}",
                where=self._chain.name,
                remedy="wait for lower fees or raise the limit",
            )
        return fees

    def _check_funds(self, signed: Sequence[Signed], actions: Sequence[Action]) -> None:
        need: dict[str, int] = {}
        names = {}
        for item, action in zip(signed, actions, strict=True):
            sender = item.call.sender
            need[sender] = need.get(sender, 0) + item.call.value + item.call.gas * item.fees.most
            names[sender] = action.sender
        for sender, wei in need.items():
            have = self._chain.balance(sender) if wei else 0
            if have < wei:
                raise LedgerError(
                    f"account {names[sender]} ({sender}) has {have / 1e18:.6g} of the "
                    f"{wei / 1e18:.6g} native tokens it may need",
                    where=actions[0].key,
                    remedy="send it native tokens and run again",
                )

    # ------------------------------------------------------------------ after sending

    def _outcome(self, action: Action, complaints: dict[bytes, str | None]) -> Receipt:
        """The receipt of an action that is in the journal; a taken nonce means one more try."""
        intent = self._known(action.key)
        receipt = self._journal.receipt(intent.id) or self._wait(action, complaints)
        if receipt is None:
            signed = self._prepare([action])
            again: dict[bytes, str | None] = {
                item.hash: self._chain.send(item.raw) for item in signed
            }
            receipt = self._wait(action, again)
        if receipt is None:
            raise LedgerError(
                "another program keeps sending from the same account", where=action.key
            )
        if not receipt.succeeded:
            raise Reverted(self._why(intent), where=action.key)
        return receipt

    def _known(self, key: str) -> Intent:
        intent = self._journal.intent(key)
        assert intent is not None, key
        return intent

    def _wait(self, action: Action, complaints: dict[bytes, str | None]) -> Receipt | None:
        """Wait until an action is mined; None if a foreign transaction has taken its nonce."""
        intent = self._known(action.key)
        started = last_sent = last_bump = self._clock()
        pause = min(0.02, self._patience.poll)
        taken = 0
        while True:
            taken = taken + 1 if self._nonce_is_gone(intent) else 0
            receipt = self.reconciler.collect(intent)
            if receipt is not None:
                return receipt
            if taken >= 3:
                self._journal.unsettle(intent.id, "failed")
                return None
            now = self._clock()
            if now - started > self._patience.mined:
                raise LedgerError(self._verdict(intent, complaints), where=intent.key)
            if now - last_bump > self._patience.stuck:
                complaints |= self._offer_more(action, intent)
                last_sent = last_bump = now
            elif now - last_sent > self._patience.again:
                complaints |= self.reconciler.resend()
                last_sent = now
            self._sleep(pause)
            pause = min(pause * 1.5, self._patience.poll)

    def _nonce_is_gone(self, intent: Intent) -> bool:
        entry = self._journal.entries(intent.id)[-1]
        return self._chain.nonce(entry.sender, self._confirmations - 1) > entry.nonce

    def _verdict(self, intent: Intent, complaints: dict[bytes, str | None]) -> str:
        """Why an action was not mined in time, as far as one can tell."""
        entry = self._journal.entries(intent.id)[-1]
        mined = self._chain.nonce(entry.sender)
        ours = {other.nonce for other in self._journal.entries() if other.sender == entry.sender}
        if mined < entry.nonce and mined not in ours:
            return (
                f"nonce gap: account {entry.sender} has mined {mined} transactions, ours has nonce "
                f"{entry.nonce} and {mined} is not in this journal"
            )
        complaint = complaints.get(entry.hash)
        if complaint and not self._chain.knows(entry.hash):
            return f"the node does not take the transaction: {complaint}"
        return f"not mined within {self._patience.mined:g} s; run again to go on waiting"

    def _offer_more(self, action: Action, intent: Intent) -> dict[bytes, str | None]:
        """Replace a transaction at the head of its account's queue: same nonce, higher fees."""
        entry = self._journal.entries(intent.id)[-1]
        if self._chain.nonce(entry.sender) != entry.nonce:
            return self.reconciler.resend()
        old = unsign(entry.raw, entry.sender)
        now = self._chain.fees()
        fees = Fees(
            most=max(now.most, int(old.fees.most * BUMP) + 1),
            tip=max(now.tip, int(old.fees.tip * BUMP) + 1),
        )
        if fees.most > self._patience.fee_limit:
            return self.reconciler.resend()
        key = self._accounts.key(action.sender)
        item = sign(key, self._chain.chain_id, old.call, old.nonce, fees)
        self._journal.replace(intent.id, _entry(item, None))
        return {item.hash: self._chain.send(item.raw)}

    def _why(self, intent: Intent) -> str:
        """The contract's reason for a failure, as far as the chain still gives it."""
        entry = self._journal.entries(intent.id)[-1]
        try:
            self._chain.call(unsign(entry.raw, entry.sender).call)
        except Reverted as error:
            return error.reason
        return "it was mined and failed, though it would succeed now; run again"

    def finish(self) -> None:
        """Wait until everything in the journal is final.

        Raises:
            LedgerError: that took too long, or the chain was reorganised and an action failed.
        """
        started = self._clock()
        while True:
            self.reconciler.watch()
            for intent in self._journal.intents():
                if intent.status == "pending":
                    self.reconciler.collect(intent)
            if self.reconciler.finalise():
                return
            if self._clock() - started > self._patience.mined:
                raise LedgerError(
                    f"not all actions are final after {self._patience.mined:g} s; run again to go "
                    "on waiting",
                    where=self._chain.name,
                )
            self._sleep(self._patience.poll)


def _entry(item: Signed, block_time: int | None) -> Entry:
    return Entry(0, 0, item.hash, item.call.sender, item.nonce, item.raw, block_time, live=True)
