"""What can go wrong with a ledger, each a one-line :class:`~privaudit.errors.UserError`."""

from __future__ import annotations

from privaudit.errors import UserError


class LedgerError(UserError):
    """The chain, the journal or the keystore refuses what was asked."""


class Reverted(LedgerError):  # noqa: N818 - named for what happened
    """The contract refuses a call.

    Args:
        reason: the contract's own text, e.g. ``"round id out of sequence"``; may be empty.
        where: the action that was refused, e.g. ``"round/3/open"``.
    """

    def __init__(self, reason: str, *, where: str | None = None) -> None:
        self.reason = reason
        super().__init__(f"the ledger contract refuses: {reason or 'no reason given'}", where=where)


class RpcError(LedgerError):
    """The node cannot be reached, or answers something that is no JSON-RPC answer."""
