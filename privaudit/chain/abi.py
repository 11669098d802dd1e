"""Call data, results and events of the contract, by the names in its ABI."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from .chain import Log

Parameter = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """A decoded log entry: the event's name and its arguments by name."""

    name: str
    args: dict[str, Any]


@lru_cache(maxsize=64)
def _record(names: tuple[str, ...]) -> Any:
    return namedtuple("Record", names)


def named(parameter: Parameter, value: Any) -> Any:
    """A decoded value with structs as named tuples and addresses checksummed."""
    kind = parameter["type"]
    if kind.endswith("[]"):
        inner = {**parameter, "type": kind[:-2]}
        return [named(inner, item) for item in value]
    if kind == "tuple":
        parts = parameter["components"]
        record = _record(tuple(part["name"] for part in parts))
        return record(*(named(part, item) for part, item in zip(parts, value, strict=True)))
    return to_checksum_address(value) if kind == "address" else value


def _types(parameters: Sequence[Parameter]) -> list[str]:
    return [collapse_if_tuple(parameter) for parameter in parameters]


def _decoded(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    try:
        return decode(types, data)
    except DecodingError as error:
        raise ValueError(str(error)) from None


class Interface:
    """Encoders and decoders for one ABI."""

    def __init__(self, abi: Sequence[Parameter]) -> None:
        self._functions = {item["name"]: item for item in abi if item["type"] == "function"}
        self._inputs = {name: _types(item["inputs"]) for name, item in self._functions.items()}
        self._outputs = {name: _types(item["outputs"]) for name, item in self._functions.items()}
        self._selectors = {
            name: keccak(text=f"{name}({','.join(types)})")[:4]
            for name, types in self._inputs.items()
        }
        self._constructor = next(
            (_types(item["inputs"]) for item in abi if item["type"] == "constructor"), []
        )
        self._events = {
            keccak(text=f"{item['name']}({','.join(_types(item['inputs']))})"): item
            for item in abi
            if item["type"] == "event"
        }

    def has(self, function: str) -> bool:
        """Whether there is a function of this name."""
        return function in self._functions

    def constructor(self, arguments: Sequence[Any]) -> bytes:
        """Encoded constructor arguments, to append to the creation code."""
        return encode(self._constructor, arguments)

    def call(self, function: str, arguments: Sequence[Any]) -> bytes:
        """Call data."""
        return self._selectors[function] + encode(self._inputs[function], arguments)

    def result(self, function: str, data: bytes) -> Any:
        """The decoded return value; None if the function returns nothing.

        Raises:
            ValueError: the data is no such value.
        """
        outputs = self._functions[function]["outputs"]
        if not outputs:
            return None
        return named(outputs[0], _decoded(self._outputs[function], data)[0])

    def event(self, log: Log) -> Event | None:
        """A decoded log entry; None if it is no event of this ABI.

        Raises:
            ValueError: it has the first topic of one, but not its content.
        """
        item = self._events.get(log.topics[0]) if log.topics else None
        if item is None:
            return None
        indexed = [part for part in item["inputs"] if part["indexed"]]
        plain = [part for part in item["inputs"] if not part["indexed"]]
        found = {
            part["name"]: named(part, _decoded([part["type"]], topic)[0])
            for part, topic in zip(indexed, log.topics[1:], strict=True)
        }
        for part, value in zip(plain, _decoded(_types(plain), log.data), strict=True):
            found[part["name"]] = named(part, value)
        return Event(item["name"], {part["name"]: found[part["name"]] for part in item["inputs"]})


def revert_reason(output: bytes) -> str:
    """The text in a reverted call's output; as hex if it is no ``Error(string)``."""
    if output[:4] != bytes.fromhex("08c379a0"):
        return output.hex()
    try:
        return str(decode(["string"], output[4:])[0])
    except (DecodingError, ValueError, OverflowError):
        return output.hex()
