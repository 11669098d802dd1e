"""Making the embedded chain again out of its journal, and seeing that it is the same chain."""

from __future__ import annotations

import hashlib

from eth_utils.address import is_checksum_address
from eth_utils.crypto import keccak

from .accounts import ROLES
from .chain import Receipt
from .embedded import EmbeddedChain
from .errors import LedgerError
from .journal import Entry, Journal


def replay(journal: Journal) -> EmbeddedChain:
    """Send every journalled transaction again, at its time, and compare what comes out.

    Args:
        journal: of an embedded chain; only read. A receipt that the last transaction has lost in a
            crash is for the sender to collect.

    Returns:
        The chain; its state root after each transaction is the journal's.

    Raises:
        LedgerError: a transaction, a receipt or a state root is not what the journal says; the
            message names the action and both values.
    """
    pins = journal.pins()
    for role in ROLES:
        if not is_checksum_address(pins.get(role)):
            raise LedgerError(f"damaged pin '{role}'", where=str(journal.path))
    chain = EmbeddedChain([pins[role] for role in ROLES])
    _expect("genesis block", pins.get("genesis", ""), chain.genesis.hex(), journal, "the beginning")
    keys = {intent.id: intent.key for intent in journal.intents()}
    stored = {receipt.hash: (receipt, root) for _, receipt, root in journal.receipts()}
    entries = journal.entries()
    for entry in entries:
        if entry.intent not in keys:
            raise LedgerError("a transaction without its action", where=str(journal.path))
        key = keys[entry.intent]
        receipt = _again(chain, entry, journal, key)
        root = chain.state_root()
        if entry.hash in stored:
            before, root_before = stored[entry.hash]
            _compare(before, receipt, journal, key)
            _expect("state root", (root_before or b"").hex(), root.hex(), journal, key)
        elif entry is not entries[-1]:
            # A crash loses the newest receipt at most: the next transaction flushes it to the disk.
            raise LedgerError(f"the journal has no receipt for '{key}'", where=str(journal.path))
    return chain


def _again(chain: EmbeddedChain, entry: Entry, journal: Journal, key: str) -> Receipt:
    if keccak(entry.raw) != entry.hash or entry.block_time is None:
        raise LedgerError(f"damaged transaction '{key}'", where=str(journal.path))
    chain.advance(entry.block_time)
    try:
        chain.send(entry.raw)
    except LedgerError as error:
        raise LedgerError(f"cannot replay '{key}': {error}", where=str(journal.path)) from None
    receipt = chain.receipt(entry.hash)
    assert receipt is not None
    _expect("block time", str(entry.block_time), str(receipt.block_time), journal, key)
    return receipt


def _compare(before: Receipt, now: Receipt, journal: Journal, key: str) -> None:
    for name in Receipt.__dataclass_fields__:
        _expect(name, _text(getattr(before, name)), _text(getattr(now, name)), journal, key)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} with SHA-256 {hashlib.sha256(repr(value).encode()).hexdigest()}"
    return value.hex() if isinstance(value, bytes) else str(value)


def _expect(what: str, stored: str, found: str, journal: Journal, key: str) -> None:
    if stored != found:
        raise LedgerError(
            f"after '{key}' the journal has {what} {stored or '(none)'}, replay gives {found}",
            where=str(journal.path),
        )
