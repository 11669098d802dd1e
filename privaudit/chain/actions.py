"""A ledger to write to, whatever the function: keys, requests, batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from .accounts import Accounts, address
from .artefact import Artefact
from .chain import Chain, Receipt
from .errors import LedgerError
from .gas import limit
from .journal import Journal
from .preparing import Action
from .sender import Patience, Sender
from .views import LedgerView

Arguments = Sequence[Any] | Callable[[], Sequence[Any]]
"""Those that depend on the chain are a callable, called when a transaction is signed."""


def request_digest(*values: Any) -> bytes:
    """SHA-256 over what a caller asked for, so that another request under its key is noticed."""
    text = json.dumps(values, default=lambda value: value.hex(), separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


class LedgerWriter(LedgerView):
    """A ledger to write to by function name; :class:`.client.LedgerClient` adds methods.

    Args:
        chain: the chain.
        journal: the journal, tied to it.
        accounts: who signs.
        contract: the contract's address.
        built: the version of the contract.
        confirmations: see :class:`.sender.Sender`.
        patience: see :class:`.sender.Patience`.
        release: called last when the client is closed, e.g. to release the ledger's lock.
    """

    def __init__(
        self,
        chain: Chain,
        journal: Journal,
        accounts: Accounts,
        contract: str,
        built: Artefact,
        *,
        confirmations: int = 1,
        patience: Patience | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(chain, journal, contract, built)
        self.accounts = accounts
        self.sender = Sender(
            chain, journal, accounts, confirmations=confirmations, patience=patience
        )
        self._release = release

    def close(self) -> None:
        """Let go of chain, journal and lock."""
        super().close()
        self._release()

    def account(self, name: str) -> str:
        """The address of an account: ``admin``, ``coordinator``, ``auditor``, ``client/3``."""
        return address(self.accounts, name)

    def finish(self) -> None:
        """Wait until everything is final (:meth:`.sender.Sender.finish`)."""
        self.sender.finish()

    def act(
        self,
        key: str,
        sender: str,
        function: str,
        arguments: Arguments,
        *,
        value: int = 0,
        request: Sequence[Any] | None = None,
    ) -> Receipt:
        """Carry out one action.

        Args:
            key: stable name of the action.
            sender: account name.
            function: of the contract.
            arguments: of the function.
            value: wei to send along.
            request: what the caller asked for, if the arguments depend on the chain.
        """
        action = self._action(key, sender, function, arguments, value=value, request=request)
        return self.sender.act([action])[0]

    def act_in_batches(
        self, key: str, sender: str, function: str, head: list[Any], items: Sequence[Any], size: int
    ) -> list[Receipt]:
        """Carry out actions over ``size`` items each, under ``KEY/0``, ``KEY/1``, ...

        Args:
            key: what their names begin with.
            sender: account name.
            function: of the contract; the list of items is its last argument.
            head: its other arguments.
            items: at least one.
            size: most items per action.
        """
        if not items:
            raise LedgerError("an empty batch", where=key)
        starts = range(0, len(items), size)
        batches = [[*head, list(items[start : start + size])] for start in starts]
        return self.sender.act(
            [
                self._action(f"{key}/{number}", sender, function, arguments)
                for number, arguments in enumerate(batches)
            ]
        )

    def _action(
        self,
        key: str,
        sender: str,
        function: str,
        arguments: Arguments,
        *,
        value: int = 0,
        request: Sequence[Any] | None = None,
    ) -> Action:
        def build() -> tuple[bytes, int]:
            late = arguments() if callable(arguments) else arguments
            return self._interface.call(function, late), value

        if callable(arguments):
            assert request is not None, "late arguments look different after a crash"
        asked = request if request is not None else [arguments, value]
        return Action(
            key=key,
            sender=sender,
            to=self.address,
            build=build,
            request=request_digest(function, sender, *asked),
            gas=limit(function, asked if callable(arguments) else arguments),
        )
