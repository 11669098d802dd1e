"""Where the ledger of a run is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.errors import UserError

if TYPE_CHECKING:
    from privaudit.chain.accounts import Accounts
    from privaudit.custody.plan import LedgerKind


@dataclass(frozen=True)
class Place:
    """Where a run keeps its ledger; without ``rpc`` on a chain of its own in the run folder.

    Attributes:
        rpc: URL of a JSON-RPC node.
        keystore: folder of encrypted keys (needed with ``rpc``).
        password_file: file with their password; None = environment or prompt.
        contract: address of a deployed ledger to use; None deploys one.
        confirmations: blocks until something counts as final.
    """

    rpc: str | None = None
    keystore: Path | None = None
    password_file: Path | None = None
    contract: str | None = None
    confirmations: int = 1

    def refuse_without(
        self, enabled: bool, remedy: str = "leave it out, or --no-ledger (ledger.enabled=false)"
    ) -> None:
        """Refuse a chain for a run that keeps no ledger.

        Args:
            enabled: whether it keeps one.
            remedy: what to do.

        Raises:
            UserError: something of the chain was given, and the ledger is off.
        """
        given = {
            "--rpc": self.rpc,
            "--keystore": self.keystore,
            "--password-file": self.password_file,
            "--contract": self.contract,
        }
        for flag, value in given.items():
            if value is not None and not enabled:
                raise UserError(
                    "is of a ledger, and this run keeps none",
                    where=flag,
                    remedy=remedy,
                )

    def check_reachable(self) -> None:
        """Ask the node for its chain, before a folder is begun.

        Raises:
            LedgerError: nobody answers, or not as a node does.
        """
        if self.rpc is not None:
            from privaudit.chain.rpc import RpcChain  # web3 is slow to import

            RpcChain(self.rpc)

    def accounts(self) -> Accounts | None:
        """The keys; None for those of the embedded chain.

        Raises:
            UserError: a chain without keys, keys without a chain, or a wrong password.
        """
        from privaudit.chain.accounts import KeystoreAccounts, read_password

        if self.rpc is None:
            given = {"--keystore": self.keystore, "--contract": self.contract}
            for flag, value in given.items():
                if value is not None:
                    raise UserError("needs a chain", where=flag, remedy="give its node with --rpc")
            return None
        if self.keystore is None:
            raise UserError(
                "a chain behind a URL needs accounts",
                where="--rpc",
                remedy="give a folder of encrypted keys with --keystore (privaudit keys makes one)",
            )
        return KeystoreAccounts(self.keystore, read_password(self.password_file))


def kind_of(place: Place | None) -> LedgerKind:
    """Of the ledger there; ``none`` without a place."""
    if place is None:
        return "none"
    return "embedded" if place.rpc is None else "rpc"
