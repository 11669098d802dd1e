"""The chain in the process: py-evm behind eth-tester's back-end, with time under our control.

Nothing here depends on a clock or on chance: genesis is fixed, blocks carry the times they are
given (one second apart otherwise), gas costs nothing. So the same signed transactions at the same
times give the same state root, which is what makes the journal a chain that lasts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from eth.exceptions import InsufficientFunds
from eth.vm.spoof import SpoofTransaction
from eth_hash.auto import keccak
from eth_keys.backends import get_backend
from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_genesis_params
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.exceptions import ValidationError

from .abi import revert_reason
from .chain import Block, Call, Fees, Log, Receipt, Signed
from .errors import LedgerError, Reverted

GENESIS_TIME = 1_767_225_600
"""2026-01-01 00:00 UTC: the time of block 0, always."""
BLOCK_GAS = 60_000_000
"""Above this chain's transactions twice over, so that the base fee stays at zero."""
GENESIS_BALANCE = 10**30
"""Wei of every genesis account: more than any budget."""
NO_FEES = Fees(most=0, tip=0)
HASHES = 2**14
"""Newest hashes that are remembered: about 10 MB."""
PINNED = {"coinbase": b"\x00" * 20, "mix_hash": b"\x00" * 32, "blob_gas_used": 0}


def _remember_hashes() -> None:
    """Three of four hashes of a run are of trie nodes and keys that were hashed before."""
    keccak(b"")  # at its first call it puts its own hasher in place
    known = lru_cache(HASHES)(keccak.hasher)

    def hasher(in_data: bytes | bytearray) -> bytes:
        return known(bytes(in_data))

    keccak.hasher = hasher


_remember_hashes()


class EmbeddedChain:
    """A chain that lives as long as this object; see :class:`.chain.Chain` for the methods.

    Args:
        accounts: addresses that own :data:`GENESIS_BALANCE` from the start.
    """

    name = "embedded"
    instant = True

    def __init__(self, accounts: Iterable[str]) -> None:
        state = {
            to_canonical_address(account): {
                "balance": GENESIS_BALANCE,
                "nonce": 0,
                "code": b"",
                "storage": {},
            }
            for account in accounts
        }
        fixed = {"timestamp": GENESIS_TIME, "gas_limit": BLOCK_GAS, "base_fee_per_gas": 0}
        backend = PyEVMBackend(get_default_genesis_params() | fixed, state)
        # Without these two eth-tester falls back to a mock, or to signatures in pure Python.
        assert type(backend.chain.get_vm()).__name__ == "PragueVM"
        assert "CoinCurve" in type(get_backend()).__name__
        self._chain: Any = backend.chain
        self._builder = self._chain.get_transaction_builder()
        self._receipts: dict[bytes, Receipt] = {}
        self._trial: tuple[bytes, Any, Any] | None = None
        self._earliest = 0
        self._top: Any = self._chain.get_canonical_head()  # kept: reading one decodes it anew
        self.chain_id: int = self._chain.chain_id
        self.genesis: bytes = self._top.hash

    def head(self) -> Block:
        """The newest block."""
        top = self._top
        return Block(top.block_number, top.hash, top.timestamp, top.base_fee_per_gas)

    def next_time(self) -> int:
        """The time the next block will have."""
        return max(self._top.timestamp + 1, self._earliest)

    def advance(self, time: int) -> None:
        """Let the next block have at least this time."""
        self._forget_trial()
        self._earliest = max(self._earliest, time)

    def nonce(self, account: str, depth: int = 0) -> int:
        """Transactions of an account so far; here nothing is ever undone, so depth is idle."""
        return int(self._state().get_nonce(to_canonical_address(account)))

    def pending_nonce(self, account: str) -> int:
        """The same: nothing ever waits."""
        return self.nonce(account)

    def balance(self, account: str) -> int:
        """Wei."""
        return int(self._state().get_balance(to_canonical_address(account)))

    def code(self, account: str) -> bytes:
        """Runtime code; empty where there is none."""
        return bytes(self._state().get_code(to_canonical_address(account)))

    def call(self, call: Call) -> bytes:
        """The result of a message at the head; raises ``Reverted``."""
        sender = to_canonical_address(call.sender)
        state = self._state()
        unsigned = self._builder.new_unsigned_dynamic_fee_transaction(
            chain_id=self.chain_id,
            nonce=state.get_nonce(sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=call.gas,
            to=to_canonical_address(call.to) if call.to else b"",
            value=call.value,
            data=call.data,
            access_list=(),
        )
        computation = state.apply_transaction(SpoofTransaction(unsigned, from_=sender))
        if computation.is_error:
            raise Reverted(revert_reason(computation.output))
        return bytes(computation.output)

    def simulate(self, signed: Signed) -> None:
        """Execute a transaction and keep the result until it is sent, or something else happens."""
        _, _, computation = self._try(signed.raw)
        if computation.is_error:
            self._forget_trial()
            raise Reverted(revert_reason(computation.output))

    def send(self, raw: bytes) -> str | None:
        """Mine a transaction in a block of its own; one that is mined already is left alone."""
        transaction = self._builder.decode(raw)
        if transaction.hash in self._receipts:
            return None
        transaction, receipt, computation = self._try(raw)
        self._trial = None
        block = self._chain.mine_block(**PINNED)
        self._top = block.header
        self._receipts[transaction.hash] = Receipt(
            hash=transaction.hash,
            block_number=block.number,
            block_hash=block.hash,
            block_time=block.header.timestamp,
            succeeded=not computation.is_error,
            gas_used=block.header.gas_used,
            gas_price=0,
            contract=_created(computation),
            logs=tuple(_log(entry) for entry in receipt.logs),
        )
        return None

    def knows(self, transaction: bytes) -> bool:
        """Whether a transaction is mined."""
        return transaction in self._receipts

    def receipt(self, transaction: bytes) -> Receipt | None:
        """The receipt of a transaction, or None."""
        return self._receipts.get(transaction)

    def fees(self) -> Fees:
        """Zero: gas is counted but costs nothing."""
        return NO_FEES

    def state_root(self) -> bytes:
        """Root of the state trie at the head."""
        return bytes(self._top.state_root)

    def close(self) -> None:
        """Nothing to let go of."""

    def _state(self) -> Any:
        """A throw-away state on top of the newest block."""
        self._forget_trial()
        return self._chain.get_vm(self._chain.header).state

    def _try(self, raw: bytes) -> tuple[Any, Any, Any]:
        """Apply a transaction to the pending block, once: transaction, receipt, computation."""
        transaction = self._builder.decode(raw)
        if self._trial is not None and self._trial[0] == raw:
            return transaction, *self._trial[1]
        time = self.next_time()
        self._forget_trial()
        before = self._chain.header
        self._chain.set_header_timestamp(time)
        try:
            _, receipt, computation = self._chain.apply_transaction(transaction)
        except (ValidationError, InsufficientFunds) as error:
            self._chain.header = before
            raise LedgerError(f"the embedded chain refuses the transaction: {error}") from None
        self._trial = (raw, (receipt, computation), before)
        return transaction, receipt, computation

    def _forget_trial(self) -> None:
        if self._trial is not None:
            self._chain.header = self._trial[2]
            self._trial = None


def _created(computation: Any) -> str | None:
    message = computation.msg
    return to_checksum_address(message.storage_address) if message.is_create else None


def _log(entry: Any) -> Log:
    topics = tuple(topic.to_bytes(32, "big") for topic in entry.topics)
    return Log(to_checksum_address(entry.address), topics, bytes(entry.data))
