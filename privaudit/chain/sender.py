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
from .chain import Chain, Fees, Receipt
from .errors import LedgerError, Reverted
from .journal import Intent, Journal
from .preparing import Action, entry_of, prepare
from .reconcile import Reconciler

PIPELINE = 16
"""Transactions of one account that may wait in a node's pool together (geth keeps 16 at least)."""
BUMP = 1.125
"""What a replacement must offer at least, as a factor of the fees it replaces."""
LOOKS = 3
"""How often in a row something bad must be seen to be believed; nodes behind one URL differ."""
PRICED_AGAIN = 5
"""How often a transaction that the node does not take is priced anew, as the base fee has risen."""
REFUSED_AGAIN = 1.0
"""Seconds until a transaction that the node did not take is sent again."""

Complaints = dict[bytes, str | None]


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
        self._wait_for_others({action.key for action in actions})
        size = 1 if self._chain.instant else PIPELINE
        receipts: list[Receipt] = []
        for start in range(0, len(actions), size):
            receipts += self._together(actions[start : start + size])
        return receipts

    def finish(self) -> None:
        """Wait until everything in the journal is final.

        Raises:
            LedgerError: that took too long, or the chain was reorganised and an action failed.
        """
        started = self._clock()
        while True:
            self.reconciler.watch()
            self._wait_for_others(set())
            if self.reconciler.finalise():
                return
            if self._clock() - started > self._patience.mined:
                raise LedgerError(
                    f"not everything is {self._confirmations} blocks deep after "
                    f"{self._patience.mined:g} s",
                    where=self._chain.name,
                    remedy="run again to go on waiting",
                )
            self._sleep(self._patience.poll)

    def _wait_for_others(self, keys: set[str]) -> None:
        """What a crash or a reorganisation left behind comes first: the rest builds on it."""
        others = [intent for intent in self._journal.pending() if intent.key not in keys]
        complaints = self.reconciler.resend() if others else {}
        for intent in others:
            receipt = self._wait(intent, complaints)
            if receipt is None or not receipt.succeeded:
                raise LedgerError(
                    "the chain has dropped this action, and it cannot be repeated as it was",
                    where=intent.key,
                    remedy="run again: it will be made anew",
                )

    def _together(self, actions: Sequence[Action]) -> list[Receipt]:
        new = [action for action in actions if self._is_new(action)]
        begun = bool(self._journal.pending())
        complaints: Complaints = self.reconciler.resend() if begun else {}
        if new:
            complaints |= self._launch(new)
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

    def _launch(self, actions: Sequence[Action]) -> Complaints:
        """Prepare and send; the node's complaints by hash."""
        if not self._chain.instant:
            senders = {
                self._accounts.key(a.sender).public_key.to_checksum_address() for a in actions
            }
            if any(self._chain.pending_nonce(s) < self._journal.next_nonce(s) for s in senders):
                self.reconciler.resend()
        limit = self._patience.fee_limit
        signed = prepare(actions, self._chain, self._journal, self._accounts, limit)
        return {item.hash: self._chain.send(item.raw) for item in signed}

    def _outcome(self, action: Action, complaints: Complaints) -> Receipt:
        """The receipt of an action that is in the journal; a taken nonce means one more try."""
        intent = self._known(action.key)
        receipt = self._journal.receipt(intent.id) or self._wait(intent, complaints)
        if receipt is None:
            complaints = self._launch([action])
            receipt = self._wait(self._known(action.key), complaints)
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

    def _why(self, intent: Intent) -> str:
        """The contract's reason for a failure, as far as the chain still gives it."""
        entry = self._journal.entries(intent.id)[-1]
        try:
            self._chain.call(unsign(entry.raw, entry.sender).call)
        except Reverted as error:
            return error.reason
        except LedgerError as error:
            return error.what
        return "it was mined and failed, though it would succeed now; run again"

    # ------------------------------------------------------------------ waiting

    def _wait(self, intent: Intent, complaints: Complaints) -> Receipt | None:
        """Wait until an action is mined; None if a foreign transaction has taken its nonce."""
        started = last_sent = last_bump = self._clock()
        pause = min(0.02, self._patience.poll)
        taken = refused = priced = 0
        while True:
            receipt = self.reconciler.collect(intent)
            if receipt is not None:
                return receipt
            taken = taken + 1 if self._nonce_is_gone(intent) else 0
            if taken >= LOOKS:
                self._journal.unsettle(intent.id, "failed")
                return None
            now = self._clock()
            if now - started > self._patience.mined or refused >= LOOKS:
                raise LedgerError(self._verdict(intent, complaints), where=intent.key)
            out = self._refused(intent, complaints)
            if out and priced < PRICED_AGAIN and self._outpriced(intent):
                complaints |= self._offer_more(intent)
                priced += 1
                last_sent = last_bump = now
            elif now - last_bump > self._patience.stuck and not out:
                complaints |= self._offer_more(intent)
                last_sent = last_bump = now
            elif now - last_sent > min(self._patience.again, REFUSED_AGAIN if out else 1e9):
                complaints |= self.reconciler.resend()
                refused = refused + 1 if out else 0
                last_sent = now
            self._sleep(pause)
            pause = min(pause * 1.5, self._patience.poll)

    def _refused(self, intent: Intent, complaints: Complaints) -> str | None:
        """What the node said about an action whose transaction it did not take."""
        entry = self._journal.entries(intent.id)[-1]
        complaint = complaints.get(entry.hash)
        return None if complaint is None or self._chain.knows(entry.hash) else complaint

    def _outpriced(self, intent: Intent) -> bool:
        """Whether the base fee has risen above what we offered."""
        entry = self._journal.entries(intent.id)[-1]
        return self._chain.head().base_fee > unsign(entry.raw, entry.sender).fees.most

    def _nonce_is_gone(self, intent: Intent) -> bool:
        entry = self._journal.entries(intent.id)[-1]
        return self._chain.nonce(entry.sender, self._confirmations - 1) > entry.nonce

    def _offer_more(self, intent: Intent) -> Complaints:
        """Replace a transaction at the head of its account's queue: same nonce, higher fees."""
        entry = self._journal.entries(intent.id)[-1]
        old = unsign(entry.raw, entry.sender)
        now = self._chain.fees()
        fees = Fees(
            most=max(now.most, int(old.fees.most * BUMP) + 1),
            tip=max(now.tip, int(old.fees.tip * BUMP) + 1),
            legacy=now.legacy,
        )
        at_head = self._chain.nonce(entry.sender) == entry.nonce
        if not at_head or fees.most > self._patience.fee_limit:
            return self.reconciler.resend()
        key = self._accounts.key(entry.account)
        item = sign(key, self._chain.chain_id, old.call, old.nonce, fees)
        self._journal.replace(intent.id, entry_of(item, entry.account, None))
        return {item.hash: self._chain.send(item.raw)}

    def _verdict(self, intent: Intent, complaints: Complaints) -> str:
        """Why an action was not mined in time, as far as one can tell."""
        entry = self._journal.entries(intent.id)[-1]
        mined = self._chain.nonce(entry.sender)
        ours = {other.nonce for other in self._journal.entries() if other.sender == entry.sender}
        if mined < entry.nonce and mined not in ours:
            return (
                f"nonce gap: account {entry.account} ({entry.sender}) has mined {mined} "
                f"transactions, ours is number {entry.nonce}, and what comes between is not ours"
            )
        complaint = self._refused(intent, complaints)
        if complaint is not None and self._outpriced(intent):
            return (
                f"the chain's base fee has risen to {self._chain.head().base_fee / 1e9:g} gwei per "
                f"gas, above our offer (limit {self._patience.fee_limit / 1e9:g}); run again later"
            )
        if complaint is not None:
            return f"the node does not take the transaction: {complaint}"
        return f"not mined within {self._patience.mined:g} s; run again to go on waiting"
