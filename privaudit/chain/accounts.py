"""Who signs: accounts derived from a seed on the embedded chain, encrypted keystores elsewhere.

Accounts have names: ``admin``, ``coordinator``, ``auditor``, ``client/0``, ``client/1``, ...
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any, Protocol

from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from .chain import Call, Fees, Signed
from .errors import LedgerError
from .keyfile import read_key
from .password import PASSWORD_VARIABLE, take_password

ROLES = ("admin", "coordinator", "auditor")
LIST = 0xC0
"""A type-0 transaction is an RLP list, which begins with this byte or a greater one."""


class Accounts(Protocol):
    """A source of keys by account name."""

    def key(self, name: str) -> PrivateKey:
        """The private key of an account."""


def address(accounts: Accounts, name: str) -> str:
    """The checksummed address of an account."""
    return accounts.key(name).public_key.to_checksum_address()


class EmbeddedAccounts:
    """Keys that anybody who knows the seed can compute: for the embedded chain only.

    Args:
        seed: the root seed of the run; the same seed gives the same accounts.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._keys: dict[str, PrivateKey] = {}

    def key(self, name: str) -> PrivateKey:
        """The private key of an account; every name has one."""
        if name not in self._keys:
            material = f"privaudit embedded account {self._seed} {name}"
            self._keys[name] = PrivateKey(keccak(text=material))
        return self._keys[name]


class KeystoreAccounts:
    """Keys from encrypted files ``admin.json``, ``coordinator.json``, ``auditor.json`` in a folder.

    Clients whose file ``client-<i>.json`` is not there are simulated ones: their keys are derived
    from the coordinator's key, which nobody else has.

    Args:
        folder: the keystore folder.
        password: the password of all its files.

    Raises:
        LedgerError: a file is missing or no keystore, or the password is wrong.
    """

    def __init__(self, folder: Path, password: str) -> None:
        self._folder = folder
        self._password = password
        self._keys: dict[str, PrivateKey] = {}
        for role in ROLES:
            self._keys[role] = self._decrypt(folder / f"{role}.json")

    def key(self, name: str) -> PrivateKey:
        """The private key of an account."""
        if name not in self._keys:
            file = self._folder / f"{name.replace('/', '-')}.json"
            self._keys[name] = self._decrypt(file) if file.exists() else self._derived(name)
        return self._keys[name]

    def _derived(self, name: str) -> PrivateKey:
        secret = self._keys["coordinator"].to_bytes()
        return PrivateKey(keccak(b"privaudit simulated account " + secret + name.encode()))

    def _decrypt(self, file: Path) -> PrivateKey:
        try:
            return read_key(file, self._password)
        except FileNotFoundError:
            raise LedgerError(
                f"no keystore file '{file.name}'",
                where=str(self._folder),
                remedy=f"the keystore needs {', '.join(f'{role}.json' for role in ROLES)}; "
                "privaudit keys makes them in a new folder",
            ) from None


def read_password(file: Path | None = None, *, new: bool = False) -> str:
    """The keystore password from a file, the environment or a prompt, in this order.

    Never from the command line, where every process of the machine can read it.

    Args:
        file: a file whose first line is the password.
        new: it is to be made up: a prompt asks twice.

    Raises:
        LedgerError: there is none of the three, or the file cannot be read or is empty, or what was
            typed twice is not the same.
    """
    if file is not None:
        try:
            password = file.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError):
            raise LedgerError("the password file cannot be read", where=str(file)) from None
    else:
        password = take_password()
        if not password and sys.stdin is not None and sys.stdin.isatty():
            password = _typed(new)
    if not password:
        raise LedgerError(
            "no keystore password",
            where=str(file) if file else None,
            remedy=f"set {PASSWORD_VARIABLE}, give a password file, or run in a terminal",
        )
    return password


def _typed(new: bool) -> str:
    try:
        password = getpass.getpass("New keystore password: " if new else "Keystore password: ")
        if new and password and getpass.getpass("Again: ") != password:
            raise LedgerError("the two passwords differ", remedy="type the same one twice")
    except EOFError:  # Ctrl-D
        return ""
    return password


def sign(key: PrivateKey, chain_id: int, call: Call, nonce: int, fees: Fees) -> Signed:
    """Sign a transaction, of type 2 (EIP-1559) or 0; the same arguments give the same bytes."""
    from eth_account import Account  # here, as runs without a ledger would wait for it

    fields: dict[str, Any] = {
        "chainId": chain_id,
        "nonce": nonce,
        "gas": call.gas,
        "value": call.value,
        "data": call.data,
    }
    if fees.legacy:
        fields |= {"gasPrice": fees.most}
    else:
        fields |= {"type": 2, "maxFeePerGas": fees.most, "maxPriorityFeePerGas": fees.tip}
    if call.to is not None:
        fields["to"] = call.to
    raw = bytes(Account.sign_transaction(fields, key.to_bytes()).raw_transaction)
    return Signed(raw=raw, call=call, nonce=nonce, fees=fees)


def unsign(raw: bytes, sender: str) -> Signed:
    """What signed bytes of this module say; the sender is not recovered but taken on trust."""
    from eth_account.typed_transactions.typed_transaction import TypedTransaction
    from hexbytes import HexBytes

    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict() if raw[0] < LIST else _type_0(raw)
    to = bytes(fields["to"])
    call = Call(
        sender=sender,
        to=to_checksum_address(to) if to else None,
        data=bytes(fields["data"]),
        value=int(fields["value"]),
        gas=int(fields["gas"]),
    )
    most, tip = int(fields["maxFeePerGas"]), int(fields["maxPriorityFeePerGas"])
    fees = Fees(most=most, tip=tip, legacy=raw[0] >= LIST)
    return Signed(raw=raw, call=call, nonce=int(fields["nonce"]), fees=fees)


def _type_0(raw: bytes) -> dict[str, Any]:
    """The fields of a type-0 transaction, its one price as both fees."""
    import rlp

    nonce, price, gas, to, value, data, *_ = rlp.decode(raw)
    fields: dict[str, Any] = {"to": to, "data": data}
    numbers = {"nonce": nonce, "gas": gas, "value": value}
    numbers |= {"maxFeePerGas": price, "maxPriorityFeePerGas": price}
    return fields | {name: int.from_bytes(number, "big") for name, number in numbers.items()}
