"""A folder of encrypted keys: made, with a password worth the name, and listed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_utils.address import is_address, to_checksum_address

from .accounts import ROLES, read_password
from .errors import LedgerError
from .keyfile import read_key, stated_address
from .password import weakness

OWNER_ONLY, OWNER_ONLY_FOLDER = 0o600, 0o700


@dataclass(frozen=True)
class KeyFile:
    """A key of a keystore.

    Attributes:
        role: ``admin``, ``coordinator``, ``auditor`` or ``client/3``.
        address: checksummed; empty where the file does not state it.
        file: its path.
    """

    role: str
    address: str
    file: Path


def new_password(file: Path | None = None) -> str:
    """A password to encrypt new keys with: from a file, the environment, or typed twice.

    Raises:
        LedgerError: there is none, or it is weak; says in what.
    """
    password = read_password(file, new=True)
    weak = weakness(password)
    if weak:
        raise LedgerError(
            f"the keystore password is weak: it {weak}",
            where=str(file) if file else None,
            remedy="five words picked by dice, or 16 characters of a password manager, will do",
        )
    return password


def refuse_used(folder: Path) -> None:
    """A keystore is made in a new or an empty folder.

    Raises:
        LedgerError: there is something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise LedgerError("is a file, not a folder", where=str(folder), remedy="name a new folder")
    present = sorted(os.listdir(folder))
    keys = [name for name in present if name in {f"{role}.json" for role in ROLES}]
    if keys:
        raise LedgerError(
            f"a keystore exists already ({', '.join(keys)}); keys are never overwritten",
            where=str(folder),
            remedy="list it with --list, or name a new folder",
        )
    if present:
        raise LedgerError(
            f"the folder is not empty ({present[0]})",
            where=str(folder),
            remedy="name a new folder",
        )


def create_keystore(
    folder: Path,
    password: str,
    *,
    secrets: Mapping[str, bytes] | None = None,
    cost: int | None = None,
) -> dict[str, str]:
    """Write an encrypted keystore with the three roles, for its owner's eyes alone, or nothing.

    Args:
        folder: new or empty; made, or closed to others.
        password: of all files; not empty.
        secrets: private keys (32 bytes) by role for accounts that exist already; others are new.
        cost: rounds of the key derivation (scrypt); the library's default if None.

    Returns:
        The addresses by role.

    Raises:
        LedgerError: the folder is in use (:func:`refuse_used`), or the password is empty.
    """
    if not password:
        raise LedgerError("the keystore password is empty", where=str(folder))
    refuse_used(folder)
    given = {role: (secrets or {}).get(role) for role in ROLES}
    accounts = {role: Account.from_key(s) if s else Account.create() for role, s in given.items()}
    texts = {
        folder / f"{role}.json": json.dumps(
            Account.encrypt(account.key, password, kdf="scrypt", iterations=cost)
        )
        for role, account in accounts.items()
    }
    folder.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY_FOLDER)
    folder.chmod(OWNER_ONLY_FOLDER)
    written: list[Path] = []
    try:
        for file, text in texts.items():
            _write_new(file, text, written)
    except BaseException:  # a full disk, Ctrl-C: half a keystore is of no use
        for file in written:
            file.unlink(missing_ok=True)
        raise
    return {role: account.address for role, account in accounts.items()}


def list_keystore(folder: Path, password: str | None = None) -> list[KeyFile]:
    """The keys of a keystore: the three roles, then clients that have a file of their own.

    Args:
        folder: the keystore.
        password: of all its files; None takes the addresses that the files state.

    Raises:
        LedgerError: no folder, no key in it, a file that is none, or a wrong password.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise LedgerError(what, where=str(folder), remedy="name the folder of a keystore")
    files = {role: folder / f"{role}.json" for role in ROLES}
    clients = [f for f in folder.glob("client-*.json") if f.stem[7:].isdecimal()]
    for file in sorted(clients, key=lambda file: int(file.stem[7:])):
        files[f"client/{int(file.stem[7:])}"] = file
    found = [
        KeyFile(role, _address(file, password), file)
        for role, file in files.items()
        if file.is_file()
    ]
    if not found:
        raise LedgerError(
            "there is no keystore",
            where=str(folder),
            remedy="leave out --list to make one",
        )
    return found


def _address(file: Path, password: str | None) -> str:
    if password is not None:
        return read_key(file, password).public_key.to_checksum_address()
    stated = stated_address(file)
    return to_checksum_address(stated) if is_address(stated) else ""


def _write_new(file: Path, text: str, written: list[Path]) -> None:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        raise LedgerError("the keystore file exists already", where=str(file)) from None
    written.append(file)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(handle)  # the only copy of a key
