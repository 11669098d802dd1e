"""Accounts: derived ones, encrypted ones, and the password on its way in."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from privaudit.chain import accounts as module
from privaudit.chain.accounts import (
    ROLES,
    EmbeddedAccounts,
    KeystoreAccounts,
    address,
    read_password,
    sign,
    unsign,
)
from privaudit.chain.chain import Call, Fees
from privaudit.chain.errors import LedgerError
from privaudit.chain.keyfile import read_key
from privaudit.chain.keystore import create_keystore
from privaudit.chain.password import PASSWORD_VARIABLE

PASSWORD = "correct horse"
CHEAP = 2


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keystore folder, cheap to open."""
    folder = tmp_path_factory.mktemp("keys")
    create_keystore(folder, PASSWORD, cost=CHEAP)
    return folder


def test_embedded_accounts_follow_from_seed_and_name() -> None:
    names = [*ROLES, "client/0", "client/1"]
    first, again, other = EmbeddedAccounts(1), EmbeddedAccounts(1), EmbeddedAccounts(2)
    ours = [address(first, name) for name in names]
    assert ours == [address(again, name) for name in names]
    assert len({*ours, *(address(other, name) for name in names)}) == 2 * len(names)


def test_keystore_round_trip(tmp_path: Path) -> None:
    secret = b"\x07" * 32
    made = create_keystore(tmp_path / "new", PASSWORD, secrets={"auditor": secret}, cost=CHEAP)
    opened = KeystoreAccounts(tmp_path / "new", PASSWORD)
    assert {role: address(opened, role) for role in ROLES} == made
    assert made["auditor"] == Account.from_key(secret).address
    assert len(set(made.values())) == 3


def test_keystore_is_encrypted_and_private(keystore: Path) -> None:
    key = KeystoreAccounts(keystore, PASSWORD).key("admin").to_bytes().hex()
    for file in keystore.iterdir():
        text = file.read_text()
        assert key not in text
        assert PASSWORD not in text
        if sys.platform != "win32":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_simulated_clients_of_a_keystore_are_nobody_elses(keystore: Path, tmp_path: Path) -> None:
    first, again = (KeystoreAccounts(keystore, PASSWORD) for _ in range(2))
    assert address(first, "client/0") == address(again, "client/0") != address(first, "client/1")
    create_keystore(tmp_path / "other", PASSWORD, cost=CHEAP)
    other = KeystoreAccounts(tmp_path / "other", PASSWORD)
    assert address(other, "client/0") != address(first, "client/0")


def test_real_client_has_its_own_file(tmp_path: Path) -> None:
    create_keystore(tmp_path, PASSWORD, cost=CHEAP)
    real = Account.create()
    content = Account.encrypt(real.key, PASSWORD, iterations=CHEAP)
    (tmp_path / "client-0.json").write_text(json.dumps(content))
    assert address(KeystoreAccounts(tmp_path, PASSWORD), "client/0") == real.address


def test_wrong_password(keystore: Path) -> None:
    with pytest.raises(LedgerError, match=r"admin.json: wrong keystore password$") as told:
        KeystoreAccounts(keystore, "wrong horse")
    assert "horse" not in str(told.value)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"crypto": 5}', '{"crypto": {}, "version": 3}', "\x00\xff"]
)
def test_file_that_is_no_keystore(keystore: Path, tmp_path: Path, content: str) -> None:
    for role in ROLES:
        (tmp_path / f"{role}.json").write_text((keystore / f"{role}.json").read_text())
    (tmp_path / "auditor.json").write_bytes(content.encode("latin-1"))
    told = r"auditor.json: (not an encrypted keystore file|damaged keystore file|is of version)"
    with pytest.raises(LedgerError, match=told):
        KeystoreAccounts(tmp_path, PASSWORD)


def written(folder: Path, change: dict[str, Any], *, password: str, encoding: str = "utf-8") -> Any:
    """A key file as another tool might write it, opened with PASSWORD; the address it is of."""
    account = Account.create()
    content = Account.encrypt(account.key, password, iterations=CHEAP)
    content["crypto"]["kdfparams"] |= change.pop("kdfparams", {})
    text = json.dumps({**content, **change})
    (folder / "key.json").write_bytes(text.encode(encoding))
    return account.address


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        ({"version": "3"}, "utf-8"),
        ({"name": "", "meta": "{}"}, "utf-8"),
        ({"address": ""}, "utf-8"),
        ({}, "utf-8-sig"),
        ({}, "utf-16"),
    ],
)
def test_key_files_of_other_tools(tmp_path: Path, change: dict[str, Any], encoding: str) -> None:
    made = written(tmp_path, change, password=PASSWORD, encoding=encoding)
    assert read_key(tmp_path / "key.json", PASSWORD).public_key.to_checksum_address() == made


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 1}, "version 1, .* geth account update"),
        ({"version": "1"}, "version 1, "),
        ({"version": 4}, "of a validator"),
        ({"version": None}, "is of version None, not 3"),
        ({"version": {"x": 1}}, "is of version"),
        ({"address": "00" * 20}, "says it is of account 0+ and holds the key of 0x"),
        ({"kdfparams": {"n": 2**30}}, "more memory or time"),
        ({"kdfparams": {"n": 2**18, "p": 2**30}}, "more memory or time"),
        ({"kdfparams": {"n": "many"}}, "damaged"),
        ({"kdfparams": {"n": 5}}, "damaged"),
        ({"kdfparams": {"dklen": 1}}, "damaged"),
        ({"crypto": []}, "not an encrypted"),
        ({"crypto": {"kdf": "pbkdf2", "kdfparams": {"c": 10**12, "dklen": 32}}}, "more memory"),
    ],
)
def test_key_files_that_are_refused_in_one_line(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    written(tmp_path, change, password=PASSWORD)
    with pytest.raises(LedgerError, match=rf"key\.json: .*{told}") as raised:
        read_key(tmp_path / "key.json", PASSWORD)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("stored", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_password_is_the_same_however_its_letters_are_composed(
    tmp_path: Path, stored: Any
) -> None:
    typed = "p\u00e4ss \ufb01le"  # an umlaut in one piece, and a ligature
    made = written(tmp_path, {}, password=unicodedata.normalize(stored, typed))
    for form in ("NFC", "NFD"):
        key = read_key(tmp_path / "key.json", unicodedata.normalize(form, typed))
        assert key.public_key.to_checksum_address() == made
    with pytest.raises(LedgerError, match="wrong keystore password"):
        read_key(tmp_path / "key.json", "pass file")


def test_nobody_finds_the_password_in_the_environment_after_us() -> None:
    """Neither a child nor whoever reads what the system shows of the process."""
    program = (
        "import os, pathlib, subprocess, sys\n"
        "from privaudit.chain.password import hide_password, take_password\n"
        "hide_password()\n"
        "left = subprocess.run([sys.executable, '-c', 'import os; print(dict(os.environ))'],\n"
        "                      capture_output=True, text=True).stdout\n"
        "shown = pathlib.Path('/proc/self/environ')\n"
        "print('tell' in left, shown.exists() and b'tell' in shown.read_bytes(),\n"
        "      take_password(), repr(take_password()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {PASSWORD_VARIABLE: "tell-nobody"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False", "tell-nobody", "''"]


def test_missing_file_says_which_are_needed(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"no keystore file 'admin.json'; the keystore needs"):
        KeystoreAccounts(tmp_path, PASSWORD)


def test_existing_keystore_is_not_overwritten(keystore: Path) -> None:
    before = {file: file.read_bytes() for file in keystore.iterdir()}
    with pytest.raises(LedgerError, match="exists already"):
        create_keystore(keystore, PASSWORD, cost=CHEAP)
    with pytest.raises(LedgerError, match="password is empty"):
        create_keystore(keystore / "new", "")
    assert {file: file.read_bytes() for file in keystore.iterdir()} == before


def test_password_from_file_environment_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(module.getpass, "getpass", lambda _: "typed")
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    assert read_password() == "typed"
    monkeypatch.setenv(PASSWORD_VARIABLE, "set")
    assert read_password() == "set"
    file = tmp_path / "password"
    file.write_text("written \nand more\n")
    assert read_password(file) == "written "


def test_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(LedgerError, match=f"no keystore password; set {PASSWORD_VARIABLE}"):
        read_password()
    with pytest.raises(LedgerError, match="password file cannot be read"):
        read_password(tmp_path / "missing")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(LedgerError, match="no keystore password"):
        read_password(tmp_path / "empty")


@pytest.mark.parametrize("to", [None, "0x" + "11" * 20])
@pytest.mark.parametrize("fees", [Fees(most=9, tip=2), Fees(most=9, tip=9, legacy=True)])
def test_signed_bytes_say_what_was_signed(to: str | None, fees: Fees) -> None:
    key = EmbeddedAccounts().key("admin")
    sender = key.public_key.to_checksum_address()
    call = Call(sender=sender, to=to, data=b"\x01\x02", value=5, gas=90_000)
    signed = sign(key, 17, call, 3, fees)
    assert sign(key, 17, call, 3, fees).raw == signed.raw
    assert unsign(signed.raw, sender) == signed
    assert Account.recover_transaction(signed.raw) == sender
