"""Keeping journal and chain of one mind: receipts in, lost transactions out again, reorganisations.

The journal knows every byte that was ever sent. Whatever the chain has lost (a dropped mempool, a
block that is no longer part of it, a crash before sending) is repaired in one way: send the
identical bytes again, in the order of their nonces.
"""

from __future__ import annotations

from .chain import Chain, Receipt
from .journal import Entry, Intent, Journal


class Reconciler:
    """Compares a journal with its chain.

    Args:
        chain: the chain.
        journal: an open journal that is tied to it.
        confirmations: an action is final when its block and this many less one above it stand.
    """

    def __init__(self, chain: Chain, journal: Journal, confirmations: int) -> None:
        self._chain = chain
        self._journal = journal
        self._confirmations = confirmations

    def collect(self, intent: Intent) -> Receipt | None:
        """Look for the receipt of an action and keep it.

        A success counts whichever transaction it came from; a failure only if it is of the present
        attempt.
        """
        failure = None
        for entry in reversed(self._journal.entries(intent.id)):
            receipt = self._chain.receipt(entry.hash)
            if receipt is not None and receipt.succeeded:
                self._keep(intent, receipt)
                return receipt
            if receipt is not None and entry.live:
                failure = receipt
        if failure is not None:
            self._keep(intent, failure)
        return failure

    def _keep(self, intent: Intent, receipt: Receipt) -> None:
        done = "final" if self._chain.instant or self._confirmations == 1 else "mined"
        self._journal.settle(
            intent.id,
            receipt,
            status=done if receipt.succeeded else "failed",
            root=self._chain.state_root() if self._chain.instant else None,
        )

    def resend(self) -> dict[bytes, str | None]:
        """Send again, in order, what the chain has not mined; the node's complaints by hash."""
        mined: dict[str, int] = {}
        waiting: dict[tuple[str, int], Entry] = {}
        for entry in self._journal.entries():
            if entry.sender not in mined:
                mined[entry.sender] = self._chain.nonce(entry.sender)
            if entry.nonce >= mined[entry.sender]:
                # The last of several with one nonce offers most.
                waiting[entry.sender, entry.nonce] = entry
        return {entry.hash: self._chain.send(entry.raw) for entry in waiting.values()}

    def watch(self) -> int:
        """See whether the chain was reorganised; if so, repair.

        Returns:
            How many actions had to be put on the chain again.
        """
        if self._chain.instant:
            return 0
        newest = self._journal.newest()
        if newest is None or self._stands(newest):
            return 0
        lost = 0
        for intent, receipt, _ in reversed(self._journal.receipts()):
            if self._stands(receipt):
                break
            self._journal.unsettle(intent.id, "pending")
            lost += self.collect(intent) is None
        if lost:
            self.resend()
        return lost

    def _stands(self, receipt: Receipt) -> bool:
        found = self._chain.receipt(receipt.hash)
        return found is not None and found.block_hash == receipt.block_hash

    def finalise(self) -> bool:
        """Mark what is deep enough as final; whether nothing is left that is not."""
        if not self._chain.instant:
            self._journal.finalise(self._chain.head().number - self._confirmations + 1)
        return all(intent.status in {"final", "failed"} for intent in self._journal.intents())
