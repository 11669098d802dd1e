"""Anchors: a head put on a chain that is not its writer's, in one transaction.

The transaction creates a contract without code. Its data are a program of 142 bytes that logs a
version tag, the hash of the plan, the head, its signer and the kind of ledger, and ends. What
counts is the transaction: whoever signed it said so, no later than its block. The log only makes it
findable by plan and by signer, with one ``eth_getLogs`` each; a log of any other program is passed
over, since a contract can log whatever it likes in a transaction of somebody who calls it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eth_utils.crypto import keccak

from .accounts import Accounts
from .actions import request_digest
from .errors import LedgerError
from .journal import Journal
from .opening import take_lock
from .pins import check_pins
from .preparing import Action
from .rpc import RpcChain
from .sender import Patience, Sender

TAG = keccak(text="privaudit.anchor.v1")
"""First topic of the log: what this is, and its version."""
SIGNER = "auditor"
"""The account of the keystore that anchors: it is the one that vouches for results."""
GAS = 100_000
"""Of an anchor; it takes 57,000."""
PUSH_32 = b"\x7f"
STORE_AT_0 = b"\x60\x00\x52"
CALLER = b"\x33"
LOG_WORD_AND_STOP = b"\x60\x20\x60\x00\xa4\x00"
"""The word at 0, under four topics: tag, plan, head, caller."""


@dataclass(frozen=True)
class Content:
    """What an anchor says: kind of ledger, SHA-256 of the plan, head of the audit chain."""

    kind: str
    plan: bytes
    head: bytes


@dataclass(frozen=True)
class Anchor:
    """An anchor in a block.

    Attributes:
        content: what it says.
        transaction: its hash, 32 bytes.
        sender: the account that signed it, checksummed.
        block_number: of its block.
        block_hash: of its block, 32 bytes.
        block_time: unix seconds of its block.
    """

    content: Content
    transaction: bytes
    sender: str
    block_number: int
    block_hash: bytes
    block_time: int


class NoAnchor(LedgerError):  # noqa: N818 - a state of the chain
    """There is no such transaction, or it is something else."""


def program(content: Content) -> bytes:
    """The data of the transaction that anchors this."""
    kind = content.kind.encode("ascii")
    assert len(kind) <= 32
    assert len(content.plan) == len(content.head) == 32
    words = (content.head, content.plan, TAG)
    pushed = b"".join(PUSH_32 + word for word in words)
    return PUSH_32 + kind.ljust(32, b"\0") + STORE_AT_0 + CALLER + pushed + LOG_WORD_AND_STOP


def parse_program(data: bytes) -> Content | None:
    """What a transaction's data anchor; None if they are no such program, to the byte."""
    kind = data[1:33].rstrip(b"\0")
    content = Content(kind.decode("ascii", "replace"), plan=data[71:103], head=data[38:70])
    if not kind.isascii() or len(content.plan) < 32:
        return None
    return content if program(content) == data else None


def read_anchor(chain: RpcChain, transaction: bytes) -> Anchor:
    """The anchor that a transaction is.

    Raises:
        NoAnchor: the chain has no such transaction in a block, or it is no anchor.
        RpcError: the node does not answer.
    """
    name, call = f"transaction 0x{transaction.hex()}", chain.transaction(transaction)
    receipt = None if call is None else chain.receipt(transaction)
    if call is None or receipt is None:
        raise NoAnchor(f"there is no {name} in a block of chain {chain.chain_id}")
    content = None if call.to else parse_program(call.data)
    if content is None or not receipt.succeeded:
        raise NoAnchor(f"{name} of chain {chain.chain_id} is no anchor of a run")
    return Anchor(
        content=content,
        transaction=transaction,
        sender=call.sender,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        block_time=receipt.block_time,
    )


def find_anchors(
    chain: RpcChain, *, plan: bytes | None = None, sender: str | None = None
) -> list[Anchor] | None:
    """Every anchor under a plan, or of an account, in the order of the chain; None: no search.

    Raises:
        RpcError: the node does not answer.
    """
    account = None if sender is None else bytes.fromhex(sender[2:]).rjust(32, b"\0")
    transactions = chain.search([TAG, plan, None, account])
    if transactions is None:
        return None
    found = []
    for transaction in transactions:
        with suppress(NoAnchor):
            found.append(read_anchor(chain, transaction))
    return [a for a in found if plan in (None, a.content.plan) and sender in (None, a.sender)]


def put_anchor(
    folder: Path,
    chain: RpcChain,
    accounts: Accounts,
    content: Content,
    *,
    confirmations: int = 1,
    patience: Patience | None = None,
) -> Anchor:
    """Anchor, once: after a crash the same call goes on from the journal.

    Args:
        folder: for the journal of this one transaction; made if it does not exist.
        chain: where to.
        accounts: the auditor's signs.
        content: what to say.
        confirmations: blocks until it is final.
        patience: how long to wait for what.

    Raises:
        LedgerError: the folder is in use or of another chain, the account has too little, or the
            node fails us.
    """
    release = take_lock(folder)
    try:
        journal = Journal(folder)
        try:
            if "chain_id" in journal.pins():
                check_pins(journal, chain)
            else:
                journal.pin({"chain_id": str(chain.chain_id), "genesis": chain.genesis.hex()})
            sender = Sender(
                chain, journal, accounts, confirmations=confirmations, patience=patience
            )
            key, data = f"anchor/{content.head.hex()}", program(content)
            request = request_digest("anchor", data)
            sender.act([Action(key, SIGNER, None, lambda: (data, 0), request, GAS)])
            sender.finish()
            intent = journal.intent(key)
            receipt = journal.receipt(intent.id) if intent else None
            assert receipt is not None
        finally:
            journal.close()
    finally:
        release()
    return read_anchor(chain, receipt.hash)
