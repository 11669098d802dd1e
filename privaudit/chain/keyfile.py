"""One encrypted key file (Web3 Secret Storage, version 3), whichever tool wrote it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eth_keys.datatypes import PrivateKey

from .errors import LedgerError

MOST_BYTES = 1 << 20
"""Of a key file; real ones take less than a thousand."""
MOST_MEMORY = 1 << 30
"""Bytes that scrypt may be told to take; geth's own files take a quarter of it."""
MOST_WORK = 1 << 25
"""n * r * p of scrypt: sixteen times that of geth's own files."""
MOST_ITERATIONS = 20_000_000
"""Of PBKDF2; other tools write up to a million."""

OTHER_VERSIONS = {
    1: (
        "is of version 1, which no tool writes any more",
        "let geth rewrite it: geth account update",
    ),
    4: (
        "holds the key of a validator (EIP-2335), not of an account",
        "give the file of an account",
    ),
}


def read_key(file: Path, password: str) -> PrivateKey:
    """The private key in a file.

    Passwords that look the same are the same: composed and decomposed characters count as one, as
    tools and keyboards differ in which they give.

    Raises:
        LedgerError: no key file, of another version, with costs that no tool writes, damaged, of
            another account than it says, or the password is wrong.
        FileNotFoundError: there is no file.
    """
    from eth_keyfile.keyfile import decode_keyfile_json  # here, as it takes a quarter of a second

    content = _content(file)
    crypto, where = content["crypto"], str(file)
    _check_costs(crypto, where)
    for form in _forms(password):
        try:
            key = PrivateKey(decode_keyfile_json({**content, "version": 3}, form.encode()))
        except Exception as error:  # whatever a library makes of a damaged file
            if "MAC" not in str(error):
                raise LedgerError("damaged keystore file", where=where) from None
        else:
            _check_address(key, content.get("address"), where)
            return key
    raise LedgerError("wrong keystore password", where=where)


def stated_address(file: Path) -> str:
    """The address that a key file says it is of; empty if it says none. Nothing is decrypted.

    Raises:
        LedgerError: no key file, or of another version.
        FileNotFoundError: there is no file.
    """
    said = _content(file).get("address")
    return said if isinstance(said, str) else ""


def _content(file: Path) -> dict[str, Any]:
    """With keys in lower case, as tools differ in that; the encoding is seen from the bytes."""
    from eth_keyfile.keyfile import normalize_keys

    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError
        content = normalize_keys(json.loads(file.read_bytes()))
        if not isinstance(content["crypto"], dict):
            raise TypeError
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise LedgerError("not an encrypted keystore file", where=str(file)) from None
    version = str(content.get("version"))
    if version != "3":
        number = int(version) if version in ("1", "4") else 0
        what, remedy = OTHER_VERSIONS.get(
            number, (f"is of version {version[:20]}, not 3", "export the account anew")
        )
        raise LedgerError(what, where=str(file), remedy=remedy)
    return content


def _check_costs(crypto: dict[str, Any], where: str) -> None:
    """Refuse what would take all memory or hours, as only a forged file asks for it."""
    try:
        given = crypto["kdfparams"]
        if crypto["kdf"] == "scrypt":
            n, r, p = (_whole(given[name]) for name in ("n", "r", "p"))
            too_much = 128 * n * r > MOST_MEMORY or n * r * p > MOST_WORK
        else:
            too_much = _whole(given["c"]) > MOST_ITERATIONS
        if not 32 <= _whole(given["dklen"]) <= 1024:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise LedgerError("damaged keystore file", where=where) from None
    if too_much:
        raise LedgerError(
            "asks for more memory or time than any tool's keystore file does",
            where=where,
            remedy="export the account anew with the usual costs",
        )


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError
    return value


def _check_address(key: PrivateKey, said: object, where: str) -> None:
    address = key.public_key.to_checksum_address()
    if isinstance(said, str) and said and said.lower().removeprefix("0x") != address[2:].lower():
        raise LedgerError(
            f"says it is of account {said[:42]} and holds the key of {address}",
            where=where,
            remedy="export the account anew",
        )


def _forms(password: str) -> Iterator[str]:
    """The password as typed, and as other keyboards and tools would write it."""
    forms = [
        password,
        *(unicodedata.normalize(f, password) for f in ("NFC", "NFKC", "NFD", "NFKD")),
    ]
    yield from dict.fromkeys(forms)
