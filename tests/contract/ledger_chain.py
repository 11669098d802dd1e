"""A thin chain over pyrevm: calls by ABI name, decoded results and events, revert reasons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from pyrevm import EVM, BlockEnv, CfgEnv, Env

CHAIN_ID = 31_337
START = 1_800_000_000  # unix seconds of block 1
REVERT_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")
ERROR_SELECTOR = "08c379a0"


class Reverted(Exception):  # noqa: N818 - a result, named for what happened
    """A call failed; ``reason`` is the contract's text, or empty."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Event:
    """A decoded log entry."""

    name: str
    args: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """Return value and logs of a successful call."""

    value: Any
    logs: list[tuple[list[bytes], bytes]]
    interface: Interface

    @property
    def events(self) -> list[Event]:
        """Decoded when they are looked at: the state machine seldom does."""
        return [self.interface.event(topics, data) for topics, data in self.logs]

    def only(self, name: str) -> dict[str, Any]:
        """Arguments of the one event of that name."""
        found = [event.args for event in self.events if event.name == name]
        assert len(found) == 1, f"{len(found)} events {name}"
        return found[0]


def named(parameter: dict[str, Any], value: Any) -> Any:
    """Turn a decoded tuple into a namespace with the ABI's field names, lists into lists."""
    kind = parameter["type"]
    if kind.endswith("[]"):
        inner = {**parameter, "type": kind[:-2]}
        return [named(inner, item) for item in value]
    if kind == "tuple":
        pairs = zip(parameter["components"], value, strict=True)
        return SimpleNamespace(**{part["name"]: named(part, item) for part, item in pairs})
    return to_checksum_address(value) if kind == "address" else value


def _types(parameters: Sequence[dict[str, Any]]) -> list[str]:
    return [collapse_if_tuple(parameter) for parameter in parameters]


class Interface:
    """Encoders and decoders for one ABI."""

    def __init__(self, abi: Sequence[dict[str, Any]]) -> None:
        self.functions = {item["name"]: item for item in abi if item["type"] == "function"}
        self.inputs = {name: _types(item["inputs"]) for name, item in self.functions.items()}
        self.outputs = {name: _types(item["outputs"]) for name, item in self.functions.items()}
        self.selectors = {
            name: keccak(text=f"{name}({','.join(types)})")[:4]
            for name, types in self.inputs.items()
        }
        self._constructor = next(
            (_types(item["inputs"]) for item in abi if item["type"] == "constructor"), []
        )
        self._events = {}
        for item in abi:
            if item["type"] == "event":
                signature = f"{item['name']}({','.join(_types(item['inputs']))})"
                self._events[keccak(text=signature)] = item

    def constructor(self, arguments: Sequence[Any]) -> bytes:
        """Encoded constructor arguments."""
        return encode(self._constructor, arguments)

    def call(self, name: str, arguments: Sequence[Any]) -> bytes:
        """Call data."""
        return self.selectors[name] + encode(self.inputs[name], arguments)

    def result(self, name: str, data: bytes) -> Any:
        """The decoded return value; None if the function returns nothing."""
        outputs = self.functions[name]["outputs"]
        if not outputs:
            return None
        if self.outputs[name] == ["uint256"] and len(data) == 32:
            return int.from_bytes(data)  # what decode gives, in a tenth of the time
        return named(outputs[0], decode(self.outputs[name], data)[0])

    def event(self, topics: Sequence[bytes], data: bytes) -> Event:
        """A decoded log entry."""
        item = self._events[topics[0]]
        indexed = [part for part in item["inputs"] if part["indexed"]]
        plain = [part for part in item["inputs"] if not part["indexed"]]
        args = {
            part["name"]: named(part, decode([part["type"]], topic)[0])
            for part, topic in zip(indexed, topics[1:], strict=True)
        }
        for part, value in zip(plain, decode(_types(plain), data), strict=True):
            args[part["name"]] = named(part, value)
        return Event(item["name"], args)


def reason_of(error: RuntimeError) -> str:
    """The reason string in a pyrevm error; other failures give their own text in brackets."""
    found = REVERT_OUTPUT.search(str(error))
    if not found:
        return f"<{str(error)[:80]}>"
    output = found.group(1)
    if not output.startswith(ERROR_SELECTOR):
        return output
    return str(decode(["string"], bytes.fromhex(output[8:]))[0])


class Chain:
    """One pyrevm chain whose block number and time the test sets."""

    def __init__(self, chain_id: int = CHAIN_ID) -> None:
        self.chain_id = chain_id
        self.evm = EVM(env=Env(cfg=CfgEnv(chain_id=chain_id)), spec_id="CANCUN")
        self.number = 0
        self.now = START
        self.mine(0)

    def mine(self, seconds: int = 1) -> None:
        """Start a new block, ``seconds`` later."""
        self.number += 1
        self.now += seconds
        self.evm.set_block_env(BlockEnv(number=self.number, timestamp=self.now))

    def fund(self, account: str, wei: int) -> None:
        """Set an account's balance."""
        self.evm.set_balance(account, wei)

    def deploy(
        self, abi: Sequence[dict[str, Any]], bytecode: str, arguments: Sequence[Any], sender: str
    ) -> Contract:
        """Deploy from hex bytecode; raises :class:`Reverted`."""
        interface = Interface(abi)
        code = bytes.fromhex(bytecode.removeprefix("0x")) + interface.constructor(arguments)
        try:
            address = self.evm.deploy(sender, code)
        except RuntimeError as error:
            raise Reverted(reason_of(error)) from None
        return Contract(self, to_checksum_address(address), interface)


class Contract:
    """A deployed contract: ``call`` for transactions, attributes for views."""

    def __init__(self, chain: Chain, address: str, interface: Interface) -> None:
        self.chain = chain
        self.address = address
        self.interface = interface
        self._question = lru_cache(maxsize=None)(interface.call)  # the same ones over and over

    def call(self, name: str, *arguments: Any, sender: str, value: int = 0) -> Result:
        """Send a transaction; raises :class:`Reverted`."""
        data = self._send(self.interface.call(name, arguments), sender, value)
        logs = self.chain.evm.result.logs if self.chain.evm.result else []
        mine = [log.data for log in logs if log.address.lower() == self.address.lower()]
        return Result(self.interface.result(name, data), mine, self.interface)

    def send_raw(self, data: bytes, sender: str, value: int = 0) -> None:
        """Send arbitrary call data; raises :class:`Reverted`."""
        self._send(data, sender, value)

    def view(self, name: str, *arguments: Any) -> Any:
        """Call a view function; raises :class:`Reverted`."""
        data = self._send(self._question(name, arguments), self.address_zero, 0, static=True)
        return self.interface.result(name, data)

    address_zero = "0x" + "00" * 20

    def _send(self, data: bytes, sender: str, value: int, static: bool = False) -> bytes:
        try:
            return self.chain.evm.message_call(
                sender, self.address, calldata=data, value=value, is_static=static
            )
        except RuntimeError as error:
            raise Reverted(reason_of(error)) from None
