"""Any EVM chain behind a JSON-RPC URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from eth_utils.address import to_checksum_address

from .abi import revert_reason
from .chain import Block, Call, Fees, Log, Receipt, Signed
from .errors import Reverted, RpcError
from .transport import Refusal, Transport

DEFAULT_TIP = 10**9
"""Wei per gas, where the node has no opinion."""
REVERTED = 3
"""JSON-RPC error code of a reverted call, where the node uses it."""
T = TypeVar("T")


class RpcChain:
    """A chain behind an URL; see :class:`.chain.Chain` for the methods.

    Args:
        url: http or https URL of a node.
        transport: for tests; made from the URL otherwise.

    Raises:
        LedgerError: the URL is malformed.
        RpcError: the node cannot be reached, or answers what is no answer.
    """

    instant = False

    def __init__(self, url: str, *, transport: Transport | None = None) -> None:
        self._transport = transport or Transport(url)
        self.name = self._transport.name
        self._times: dict[bytes, int] = {}
        self.chain_id = self._read(integer, "eth_chainId")
        self.genesis = self._block("0x0").hash

    def head(self) -> Block:
        """The newest block."""
        return self._block("latest")

    def next_time(self) -> int:
        """The newest block's time: the next one is not earlier."""
        return self.head().time

    def advance(self, time: int) -> None:
        """The time of this chain is not ours."""
        raise AssertionError("only an instant chain has a time of our own")

    def nonce(self, account: str, depth: int = 0) -> int:
        """Transactions of an account mined up to ``depth`` blocks below the head."""
        block = hex(max(0, self.head().number - depth)) if depth else "latest"
        return self._read(integer, "eth_getTransactionCount", account, block)

    def pending_nonce(self, account: str) -> int:
        """The same with those that wait to be mined."""
        return self._read(integer, "eth_getTransactionCount", account, "pending")

    def balance(self, account: str) -> int:
        """Wei."""
        return self._read(integer, "eth_getBalance", account, "latest")

    def code(self, account: str) -> bytes:
        """Runtime code; empty where there is none."""
        return self._read(octets, "eth_getCode", account, "latest")

    def call(self, call: Call) -> bytes:
        """The result of a message at the head; raises ``Reverted``."""
        fields = {
            "from": call.sender,
            "data": "0x" + call.data.hex(),
            "value": hex(call.value),
            "gas": hex(call.gas),
        }
        if call.to is not None:
            fields["to"] = call.to
        try:
            return self._parse(octets, self._transport.request("eth_call", fields, "latest"))
        except Refusal as refusal:
            if refusal.data:
                raise Reverted(revert_reason(refusal.data)) from None
            if refusal.code == REVERTED or "revert" in refusal.message:
                raise Reverted(refusal.message) from None
            raise RpcError(f"the node refuses: {refusal.message}", where=self.name) from None

    def simulate(self, signed: Signed) -> None:
        """Try a transaction without a trace; raises ``Reverted`` if it would fail."""
        self.call(signed.call)

    def send(self, raw: bytes) -> str | None:
        """Send signed bytes; returns the node's complaint, if it has one."""
        try:
            self._transport.request("eth_sendRawTransaction", "0x" + raw.hex())
        except Refusal as refusal:
            return refusal.message or "no reason given"
        return None

    def knows(self, transaction: bytes) -> bool:
        """Whether a transaction is mined or waits to be."""
        found = self._ask("eth_getTransactionByHash", "0x" + transaction.hex())
        return found is not None

    def transaction(self, transaction: bytes) -> Call | None:
        """What a transaction, mined or waiting, says; None if the node has none of this hash."""
        found = self._ask("eth_getTransactionByHash", "0x" + transaction.hex())
        return None if found is None else self._parse(_call, found)

    def search(self, topics: Sequence[bytes | None]) -> list[bytes] | None:
        """Transactions of all blocks with a log of these topics (None: any), in the chain's order.

        None where the node does not search, or not that far: many limit it.
        """
        fields = {
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": [None if topic is None else "0x" + topic.hex() for topic in topics],
        }
        try:
            found = self._transport.request("eth_getLogs", fields)
        except (Refusal, RpcError):
            return None
        return self._parse(_in_order, found)

    def receipt(self, transaction: bytes) -> Receipt | None:
        """The receipt of a transaction, or None while it is in no block."""
        found = self._ask("eth_getTransactionReceipt", "0x" + transaction.hex())
        if found is None:
            return None
        return self._parse(self._receipt, found)

    def fees(self) -> Fees:
        """Twice the base fee, so that six full blocks in a row do not price us out, and a tip.

        Where there is no base fee, the gas price that the node asks for.
        """
        head = self._ask("eth_getBlockByNumber", "latest", False)
        if isinstance(head, dict) and "baseFeePerGas" not in head:
            price = self._read(integer, "eth_gasPrice")
            return Fees(most=price, tip=price, legacy=True)
        base = self._parse(block, head).base_fee
        try:
            tip = self._parse(integer, self._transport.request("eth_maxPriorityFeePerGas"))
        except Refusal:
            tip = DEFAULT_TIP
        return Fees(most=2 * base + tip, tip=tip)

    def state_root(self) -> bytes | None:
        """Root of the state trie at the head; None where the node does not tell."""
        head = self._ask("eth_getBlockByNumber", "latest", False)
        root = head.get("stateRoot") if isinstance(head, dict) else None
        return self._parse(octets, root) if root else None

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # ------------------------------------------------------------------ asking and understanding

    def _ask(self, method: str, *parameters: Any) -> Any:
        try:
            return self._transport.request(method, *parameters)
        except Refusal as refusal:
            raise RpcError(
                f"the node refuses {method}: {refusal.message}", where=self.name
            ) from None

    def _parse(self, parser: Callable[[Any], T], answer: Any) -> T:
        try:
            return parser(answer)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise RpcError("the node answers what is not JSON-RPC", where=self.name) from None

    def _read(self, parser: Callable[[Any], T], method: str, *parameters: Any) -> T:
        return self._parse(parser, self._ask(method, *parameters))

    def _block(self, number: str) -> Block:
        return self._read(block, "eth_getBlockByNumber", number, False)

    def _receipt(self, found: Any) -> Receipt | None:
        """A receipt; None for one without a block, which some nodes give for waiting ones."""
        if found["blockHash"] is None:
            return None
        block_hash = octets(found["blockHash"])
        contract = found.get("contractAddress")
        return Receipt(
            hash=octets(found["transactionHash"]),
            block_number=integer(found["blockNumber"]),
            block_hash=block_hash,
            block_time=self._time(block_hash),
            succeeded=integer(found["status"]) == 1,
            gas_used=integer(found["gasUsed"]),
            gas_price=integer(found.get("effectiveGasPrice", "0x0")),
            contract=to_checksum_address(contract) if contract else None,
            logs=tuple(_log(entry) for entry in found["logs"]),
        )

    def _time(self, block_hash: bytes) -> int:
        if block_hash not in self._times:
            found = self._read(block, "eth_getBlockByHash", "0x" + block_hash.hex(), False)
            self._times = {block_hash: found.time}
        return self._times[block_hash]


def integer(answer: Any) -> int:
    """A JSON-RPC quantity."""
    if not isinstance(answer, str) or not answer.startswith("0x"):
        raise TypeError
    return int(answer, 16)


def octets(answer: Any) -> bytes:
    """JSON-RPC data."""
    if not isinstance(answer, str) or not answer.startswith("0x"):
        raise TypeError
    return bytes.fromhex(answer[2:])


def block(answer: Any) -> Block:
    """The head of a JSON-RPC block."""
    return Block(
        number=integer(answer["number"]),
        hash=octets(answer["hash"]),
        time=integer(answer["timestamp"]),
        base_fee=integer(answer.get("baseFeePerGas", "0x0")),
    )


def _call(found: Any) -> Call:
    to = found["to"]
    return Call(
        sender=to_checksum_address(found["from"]),
        to=to_checksum_address(to) if to else None,
        data=octets(found["input"]),
        value=integer(found["value"]),
        gas=integer(found["gas"]),
    )


def _in_order(found: Any) -> list[bytes]:
    """The transactions of log entries, each once."""
    places = [(integer(log["blockNumber"]), integer(log["logIndex"])) for log in found]
    hashes = [octets(log["transactionHash"]) for log in found]
    return list(dict.fromkeys(item for _, item in sorted(zip(places, hashes, strict=True))))


def _log(entry: Any) -> Log:
    topics = tuple(octets(topic) for topic in entry["topics"])
    return Log(to_checksum_address(entry["address"]), topics, octets(entry["data"]))
