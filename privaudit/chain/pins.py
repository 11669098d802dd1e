"""That a journal, a chain, a contract and accounts belong together."""

from __future__ import annotations

from eth_utils.crypto import keccak

from . import artefact
from .accounts import ROLES, Accounts, address
from .chain import Chain
from .errors import LedgerError
from .journal import Journal
from .views import LedgerView


def kind_of(rpc: str | None) -> str:
    """What the journal calls a chain behind this URL, or behind none."""
    return "embedded" if rpc is None else "rpc"


def check_kind(journal: Journal, rpc: str | None) -> None:
    """The journal is of this kind of chain."""
    kind = journal.pins().get("kind")
    if kind not in {"embedded", "rpc"}:
        raise LedgerError("damaged pin 'kind'", where=str(journal.path))
    if kind != kind_of(rpc):
        place = "an embedded chain" if kind == "embedded" else "a JSON-RPC chain"
        raise LedgerError(
            f"this ledger is on {place}",
            where=str(journal.path),
            remedy="leave --rpc out" if kind == "embedded" else "give its node with --rpc",
        )


def check_pins(journal: Journal, chain: Chain) -> None:
    """The journal is of this very chain."""
    check_pin(journal, "chain_id", str(chain.chain_id))
    check_pin(journal, "genesis", chain.genesis.hex())


def check_pin(journal: Journal, name: str, found: str) -> None:
    """The journal is tied to this value."""
    pinned = journal.pins().get(name)
    if pinned != found:
        raise LedgerError(
            f"the journal belongs to another ledger: {name} {pinned}, not {found}",
            where=str(journal.path),
        )


def check_roles(chain: Chain, journal: Journal, accounts: Accounts, contract: str) -> None:
    """The accounts have the roles they are named for; matters where the contract was given."""
    view = LedgerView(chain, journal, contract, artefact.load())
    for role in ROLES:
        holder, ours = view.view(role), address(accounts, role)
        if holder != ours:
            raise LedgerError(
                f"the {role} of the contract at {contract} is {holder}, not {ours}",
                where=chain.name,
                remedy="use the keystore of its accounts",
            )


def check_code(chain: Chain, contract: str, pinned: str | None) -> artefact.Artefact:
    """The version of the reward ledger that the contract is.

    Args:
        chain: where the contract is.
        contract: its address.
        pinned: the hash of its code in the journal; None for a ledger that begins, which must be of
            the present version.

    Raises:
        LedgerError: it is none, or not the pinned one.
    """
    found = chain.code(contract)
    if not found:
        raise LedgerError(f"there is no contract at {contract}", where=chain.name)
    code_hash = keccak(found).hex()
    built = artefact.of_code(code_hash)
    if pinned not in {None, code_hash} and artefact.of_code(str(pinned)) is None:
        raise LedgerError(f"damaged pin 'code_hash' ({pinned})", where=chain.name)
    if built is None and pinned == code_hash:
        raise LedgerError(
            "the ledger was made with another version of the contract",
            where=chain.name,
            remedy="use the version of privaudit that made it",
        )
    if built is None or pinned not in {None, code_hash}:
        raise LedgerError(
            f"the contract at {contract} has other code than the reward ledger", where=chain.name
        )
    if pinned is None and built != artefact.load():
        raise LedgerError(
            f"the contract at {contract} is version {built.version} of the reward ledger, on which "
            "no run begins any more",
            where=chain.name,
            remedy="leave --contract out to deploy the present one",
        )
    return built
