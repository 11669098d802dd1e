"""Opening a ledger: the chain, the journal and the contract, and that they belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
from .preparing import Action
from .replay import replay
from .sender import Patience, Sender
from .views import LedgerView

LOCK = "ledger.lock"


def open_ledger(
    folder: Path,
    *,
    rpc: str | None = None,
    accounts: Accounts | None = None,
    seed: int = 0,
    contract: str | None = None,
    required_bond: int = 0,
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
        required_bond: wei the coordinator puts at stake per round (deployment only).
        confirmations: blocks until an action is final, at least 1.
        patience: how long to wait for a node, and what to pay at most.

    Raises:
        LedgerError: another process has the ledger open; it belongs to another chain, contract or
            accounts; the node cannot be reached; the journal is damaged.
    """
    if confirmations < 1:
        raise LedgerError(f"confirmations must be at least 1, not {confirmations}")
    folder.mkdir(parents=True, exist_ok=True)
    release = _lock(folder)
    journal: Journal | None = None
    try:
        journal = Journal(folder)
        accounts = accounts or _embedded_accounts(rpc, seed)
        chain = _chain(journal, accounts, rpc)
        sender = Sender(chain, journal, accounts, confirmations=confirmations, patience=patience)
        if not chain.instant:
            sender.reconciler.resend()
            sender.reconciler.watch()
        deployed = _contract(sender, chain, journal, accounts, contract, required_bond)
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
        confirmations=confirmations,
        patience=patience,
        release=release,
    )


def view_ledger(folder: Path, *, rpc: str | None = None) -> LedgerView:
    """Open the ledger in a folder to read: no keys, no lock, nothing written.

    An embedded chain is made again by replaying the journal, and compared with it.

    Raises:
        LedgerError: as :func:`open_ledger`; replay gives something else than the journal says.
    """
    journal = Journal(folder, read_only=True)
    try:
        pins = journal.pins()
        if "contract" not in pins:
            raise LedgerError("the ledger was never deployed", where=str(journal.path))
        _check_kind(journal, rpc)
        chain: Chain = replay(journal) if rpc is None else _rpc_chain(rpc)
        _check_pins(journal, chain)
        _check_code(chain, pins["contract"])
        return LedgerView(chain, journal, pins["contract"])
    except BaseException:
        journal.close()
        raise


def _lock(folder: Path) -> Callable[[], None]:
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LedgerError(
            "another process is using this ledger", where=str(folder), remedy="wait until it ends"
        ) from None
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
        _check_kind(journal, rpc)
        for role, account in roles.items():
            _check_pin(journal, role, account)
        if rpc is None:
            return replay(journal, complete=True)
    chain: Chain = EmbeddedChain(roles.values()) if rpc is None else _rpc_chain(rpc)
    if "chain_id" in journal.pins():
        _check_pins(journal, chain)
    else:
        known = {
            "kind": _kind(rpc),
            "chain_id": str(chain.chain_id),
            "genesis": chain.genesis.hex(),
        }
        journal.pin(known | roles)
    return chain


def _rpc_chain(url: str) -> Chain:
    from .rpc import RpcChain  # web3 is needed here only, and slow to import

    return RpcChain(url)


def _kind(rpc: str | None) -> str:
    return "embedded" if rpc is None else "rpc"


def _check_kind(journal: Journal, rpc: str | None) -> None:
    kind = journal.pins().get("kind")
    if kind not in {"embedded", "rpc"}:
        raise LedgerError("damaged pin 'kind'", where=str(journal.path))
    if kind != _kind(rpc):
        place = "an embedded chain" if kind == "embedded" else "a JSON-RPC chain"
        raise LedgerError(
            f"this ledger is on {place}",
            where=str(journal.path),
            remedy="leave --rpc out" if kind == "embedded" else "give its node with --rpc",
        )


def _check_pins(journal: Journal, chain: Chain) -> None:
    _check_pin(journal, "chain_id", str(chain.chain_id))
    _check_pin(journal, "genesis", chain.genesis.hex())


def _check_pin(journal: Journal, name: str, found: str) -> None:
    pinned = journal.pins().get(name)
    if pinned != found:
        raise LedgerError(
            f"the journal belongs to another ledger: {name} {pinned}, not {found}",
            where=str(journal.path),
        )


def _contract(
    sender: Sender,
    chain: Chain,
    journal: Journal,
    accounts: Accounts,
    given: str | None,
    required_bond: int,
) -> str:
    """The contract's address, after deploying it if there is none."""
    pinned = journal.pins().get("contract")
    if given is not None and pinned not in {None, given}:
        _check_pin(journal, "contract", given)
    found = pinned or given
    if journal.intent("deploy") is not None or found is None:
        receipt = sender.act([_deployment(accounts, required_bond)])[0]
        found = receipt.contract
        assert found is not None
    _check_code(chain, found)
    if pinned is None:
        _check_roles(chain, journal, accounts, found)
        code_hash = artefact.load().code_hash.hex()
        journal.pin({"contract": found, "code_hash": code_hash})
    else:
        _check_pin(journal, "code_hash", artefact.load().code_hash.hex())
    return found


def _deployment(accounts: Accounts, required_bond: int) -> Action:
    built = artefact.load()
    arguments = [address(accounts, "coordinator"), address(accounts, "auditor"), required_bond]
    data = built.bytecode + Interface(built.abi).constructor(arguments)
    return Action(
        key="deploy",
        sender="admin",
        to=None,
        build=lambda: (data, 0),
        request=request_digest("deploy", arguments),
        gas=DEPLOY,
    )


def _check_roles(chain: Chain, journal: Journal, accounts: Accounts, contract: str) -> None:
    """The accounts have the roles they are named for; matters where the contract was given."""
    view = LedgerView(chain, journal, contract)
    for role in ROLES:
        holder, ours = view.view(role), address(accounts, role)
        if holder != ours:
            raise LedgerError(
                f"the {role} of the contract at {contract} is {holder}, not {ours}",
                where=chain.name,
                remedy="use the keystore of its accounts",
            )


def _check_code(chain: Chain, contract: str) -> None:
    """The contract's code is that of the artefact."""
    found = chain.code(contract)
    if not found:
        raise LedgerError(f"there is no contract at {contract}", where=chain.name)
    if found != artefact.load().runtime:
        raise LedgerError(
            f"the contract at {contract} has other code than the reward ledger", where=chain.name
        )
