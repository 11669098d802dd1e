"""The compiled contracts that ship with the package, checked before use."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from eth_utils.crypto import keccak

from .errors import LedgerError

NAMES = ("RewardLedger.json", "RewardLedger-1.json")
"""The present version, which is what is deployed, and those that are only read and claimed from."""


@dataclass(frozen=True)
class Artefact:
    """ABI, creation code and runtime code, and what they were compiled from and with."""

    version: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime: bytes
    compiler: str
    source_sha256: str
    integrity: str

    @property
    def code_hash(self) -> bytes:
        """Keccak-256 of the runtime code: what the chain must hold at the ledger's address."""
        return keccak(self.runtime)


def integrity(content: dict[str, Any]) -> str:
    """SHA-256 (hex) over the canonical JSON of an artefact without its ``integrity`` key."""
    rest = {key: value for key, value in content.items() if key != "integrity"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse(text: str, name: str = NAMES[0]) -> Artefact:
    """An artefact from the JSON of a file of that name.

    Raises:
        LedgerError: the text is no artefact, or its integrity hash does not match it.
    """
    try:
        content = json.loads(text)
        if content["integrity"] != integrity(content):
            raise LedgerError(
                "its integrity hash does not match its content",
                where=name,
                remedy="install the package again",
            )
        return Artefact(
            version=content.get("version", "1"),
            abi=content["abi"],
            bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")),
            runtime=bytes.fromhex(content["runtime_bytecode"].removeprefix("0x")),
            compiler=content["compiler"],
            source_sha256=content["source"]["sha256"],
            integrity=content["integrity"],
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise LedgerError(
            f"not a contract artefact ({type(error).__name__})",
            where=name,
            remedy="install the package again",
        ) from None


@lru_cache(maxsize=1)
def versions() -> tuple[Artefact, ...]:
    """The artefacts of the installed package, the present one first."""
    folder = files(__package__) / "artefact"
    return tuple(parse((folder / name).read_text(encoding="utf-8"), name) for name in NAMES)


def load() -> Artefact:
    """The present one."""
    return versions()[0]


def of_code(code_hash: str) -> Artefact | None:
    """The one whose runtime code has this hash (hexadecimal), or None."""
    return next((built for built in versions() if built.code_hash.hex() == code_hash), None)
