"""Opening a ledger: the chain, the journal and the contract, and that they belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_utils.address import is_address, to_checksum_address
from filelock import FileLock, Timeout

from . import artefact
from .abi import Interface
from .accounts import ROLES, Accounts, EmbeddedAccounts, address
from .actions import request_digest
from .chain import Chain
from .client import LedgerClient
from .embedded import EmbeddedChain
from .errors import LedgerError
from .gas import DEPLOY
from .journal import Journal
from .pins import check_code, check_kind, check_pin, check_pins, check_roles, kind_of
from .preparing import Action
from .replay import replay
from .sender import Patience, Sender
from .views import LedgerView

LOCK = "ledger.lock"
NO_BOND = 0
"""Wei per round; what version 1 of the contract wanted to know."""


def open_ledger(
    folder: Path,
    *,
    rpc: str | None = None,
    accounts: Accounts | None = None,
    seed: int = 0,
    contract: str | None = None,
    confirmations: int = 1,
    patience: Patience | None = None,
) -> LedgerClient:
    """Open the ledger in a folder to read and write; on first use the contract is deployed.

    Args:
        folder: holds the journal; made if it does not exist.
        rpc: URL of a JSON-RPC node; None for the embedded chain.
        accounts: who signs; needed with ``rpc``, on the embedded chain derived from ``seed``.
        seed: of the embedded chain's accounts.
        contract: use the ledger at this address instead of deploying one (first use only).
        confirmations: blocks until an action is final, at least 1.
        patience: how long to wait for a node, and what to pay at most.

    Raises:
        LedgerError: another process has the ledger open; it belongs to another chain, contract or
            accounts; the node cannot be reached; the journal is damaged.
    """
    if confirmations < 1:
        raise LedgerError(f"confirmations must be at least 1, not {confirmations}")
    if contract is not None:
        contract = _checked_address(contract)
    release = take_lock(folder)
    journal: Journal | None = None
    try:
        journal = Journal(folder)
        accounts = accounts or _embedded_accounts(rpc, seed)
        chain = _chain(journal, accounts, rpc)
        sender = Sender(chain, journal, accounts, confirmations=confirmations, patience=patience)
        deployed, built = _contract(sender, chain, journal, accounts, contract)
    except BaseException:
        if journal is not None:
            journal.close()
        release()
        raise
    return LedgerClient(
        chain,
        journal,
        accounts,
        deployed,
        built,
        confirmations=confirmations,
        patience=patience,
        release=release,
    )


def view_ledger(folder: Path, *, rpc: str | None = None, alone: bool = False) -> LedgerView:
    """Open the ledger in a folder to read: no keys, no lock, nothing written.

    An embedded chain is made again by replaying the journal, and compared with it.

    Args:
        folder: holds the journal.
        rpc: URL of a JSON-RPC node; None for the embedded chain.
        alone: of a run that ended: nothing beside the journal's one file is looked at.

    Raises:
        LedgerError: as :func:`open_ledger`; replay gives something else than the journal says.
    """
    journal = Journal(folder, read_only=True, alone=alone)
    try:
        pins = journal.pins()
        if "contract" not in pins:
            raise LedgerError("the ledger was never deployed", where=str(journal.path))
        check_kind(journal, rpc)
        chain: Chain = replay(journal) if rpc is None else _rpc_chain(rpc)
        check_pins(journal, chain)
        built = check_code(chain, pins["contract"], pins.get("code_hash"))
        return LedgerView(chain, journal, pins["contract"], built)
    except BaseException:
        journal.close()
        raise


def _checked_address(contract: str) -> str:
    if not is_address(contract):
        raise LedgerError(f"'{contract[:60]}' is not the address of a contract", where="contract")
    return to_checksum_address(contract)


def take_lock(folder: Path) -> Callable[[], None]:
    """Keep everybody else out of a folder with a journal; what lets them in again.

    Args:
        folder: made if it does not exist.

    Raises:
        LedgerError: another process is in it, or it cannot be made.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise LedgerError(
            "another process is using this ledger", where=str(folder), remedy="wait until it ends"
        ) from None
    except OSError as error:
        raise LedgerError(f"cannot be used: {error.strerror}", where=str(folder)) from None
    return lock.release


def _embedded_accounts(rpc: str | None, seed: int) -> Accounts:
    if rpc is not None:
        raise LedgerError("a chain behind an URL needs a keystore", where="keystore")
    return EmbeddedAccounts(seed)


def _chain(journal: Journal, accounts: Accounts, rpc: str | None) -> Chain:
    """The chain the journal belongs to, or will."""
    roles = {role: address(accounts, role) for role in ROLES}
    if len(set(roles.values())) < len(ROLES):
        raise LedgerError("admin, coordinator and auditor must be three accounts", where="keystore")
    if "chain_id" in journal.pins():
        check_kind(journal, rpc)
        for role, account in roles.items():
            check_pin(journal, role, account)
        if rpc is None:
            return replay(journal)
    chain: Chain = EmbeddedChain(roles.values()) if rpc is None else _rpc_chain(rpc)
    if "chain_id" in journal.pins():
        check_pins(journal, chain)
    else:
        known = {
            "kind": kind_of(rpc),
            "chain_id": str(chain.chain_id),
            "genesis": chain.genesis.hex(),
        }
        journal.pin(known | roles)
    return chain


def _rpc_chain(url: str) -> Chain:
    from .rpc import RpcChain  # web3 is needed here only, and slow to import

    return RpcChain(url)


def _contract(
    sender: Sender, chain: Chain, journal: Journal, accounts: Accounts, given: str | None
) -> tuple[str, artefact.Artefact]:
    """The contract's address and version, after deploying the present one if there is none."""
    pinned = journal.pins().get("contract")
    if given is not None and pinned not in {None, given}:
        check_pin(journal, "contract", given)
    found = pinned or given
    if journal.intent("deploy") is not None or found is None:
        made_with = artefact.of_code(journal.pins().get("code_hash", "")) or artefact.load()
        receipt = sender.act([_deployment(accounts, made_with)])[0]
        found = receipt.contract
        assert found is not None
    built = check_code(chain, found, journal.pins().get("code_hash"))
    if pinned is None:
        check_roles(chain, journal, accounts, found)
        journal.pin({"contract": found, "code_hash": built.code_hash.hex()})
    return found, built


def _deployment(accounts: Accounts, built: artefact.Artefact) -> Action:
    """The first action of a ledger, made again when one of an earlier version is opened."""
    arguments: list[Any] = [address(accounts, "coordinator"), address(accounts, "auditor")]
    if built.version == "1":
        arguments.append(NO_BOND)
    data = built.bytecode + Interface(built.abi).constructor(arguments)
    return Action(
        key="deploy",
        sender="admin",
        to=None,
        build=lambda: (data, 0),
        request=request_digest("deploy", arguments),
        gas=DEPLOY,
    )
