"""What the ledger needs of a chain: a small interface, and the values that pass through it.

Everything above this module is the same for the chain in the process (:mod:`.embedded`) and for a
node behind an URL (:mod:`.rpc`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from eth_utils.crypto import keccak

GAS_CAP = 2**24
"""The most gas one transaction may ask for (EIP-7825)."""


@dataclass(frozen=True)
class Block:
    """The head of a block: number, hash, time in unix seconds, base fee in wei per gas."""

    number: int
    hash: bytes
    time: int
    base_fee: int


@dataclass(frozen=True)
class Fees:
    """Fees in wei per gas: ``most`` is the limit, ``tip`` goes to the block's proposer (EIP-1559).

    On a chain without a base fee (``legacy``) both are the one gas price of a type-0 transaction.
    """

    most: int
    tip: int
    legacy: bool = False


@dataclass(frozen=True)
class Log:
    """One log entry, undecoded: address (checksummed), topics (32 bytes each), data."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Receipt:
    """What became of a transaction that is in a block.

    Attributes:
        hash: hash of the transaction, 32 bytes.
        block_number: number of the block.
        block_hash: hash of the block, 32 bytes; changes when the chain is reorganised.
        block_time: unix seconds of the block.
        succeeded: False if the transaction was mined and reverted.
        gas_used: gas.
        gas_price: effective price in wei per gas.
        contract: address of the contract the transaction created, if it did.
        logs: the log entries in their order.
    """

    hash: bytes
    block_number: int
    block_hash: bytes
    block_time: int
    succeeded: bool
    gas_used: int
    gas_price: int
    contract: str | None
    logs: tuple[Log, ...]


@dataclass(frozen=True)
class Call:
    """A message to the chain: checksummed sender and recipient (None creates a contract)."""

    sender: str
    to: str | None
    data: bytes
    value: int = 0
    gas: int = GAS_CAP


@dataclass(frozen=True)
class Signed:
    """A signed transaction: the bytes that go to the chain, and what they say."""

    raw: bytes
    call: Call
    nonce: int
    fees: Fees

    @property
    def hash(self) -> bytes:
        """The transaction's hash, 32 bytes."""
        return keccak(self.raw)


class Chain(Protocol):
    """A chain. All addresses are checksummed, all hashes 32 bytes, all money wei.

    Methods raise :class:`.errors.RpcError` when the node cannot be reached or talks nonsense.
    """

    name: str
    """For messages: ``embedded``, or the host of the URL, never its secrets."""
    chain_id: int
    genesis: bytes
    """Hash of block 0."""
    instant: bool
    """True if a transaction is mined the moment it is sent, and the chain's time can be set."""

    def head(self) -> Block:
        """The newest block."""

    def next_time(self) -> int:
        """The earliest unix time the next block can have."""

    def advance(self, time: int) -> None:
        """Let the next block have at least this time; only where ``instant``."""

    def nonce(self, account: str, depth: int = 0) -> int:
        """Transactions of an account mined up to ``depth`` blocks below the head."""

    def pending_nonce(self, account: str) -> int:
        """The same with those that wait to be mined."""

    def balance(self, account: str) -> int:
        """Wei."""

    def code(self, account: str) -> bytes:
        """Runtime code; empty where there is none."""

    def call(self, call: Call) -> bytes:
        """The result of a message at the head, without a trace; raises ``Reverted``."""

    def simulate(self, signed: Signed) -> None:
        """Try a transaction without a trace; raises ``Reverted`` if it would fail."""

    def send(self, raw: bytes) -> str | None:
        """Send signed bytes, any number of times; returns the node's complaint, if it has one.

        The complaint is for messages only: whether a transaction counts is for its receipt to say.
        """

    def knows(self, transaction: bytes) -> bool:
        """Whether a transaction is mined or waits to be."""

    def receipt(self, transaction: bytes) -> Receipt | None:
        """The receipt of a transaction, or None while it is in no block."""

    def fees(self) -> Fees:
        """Fees with which a transaction should be mined soon."""

    def state_root(self) -> bytes | None:
        """Root of the state trie at the head; None where the chain does not tell."""

    def close(self) -> None:
        """Let go of connections."""
