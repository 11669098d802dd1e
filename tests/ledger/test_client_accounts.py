"""Accounts: derived ones, encrypted ones, and the password on its way in."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest
from eth_account import Account

from privaudit.ledger import accounts as module
from privaudit.ledger.accounts import (
    PASSWORD_VARIABLE,
    ROLES,
    EmbeddedAccounts,
    KeystoreAccounts,
    address,
    create_keystore,
    read_password,
    sign,
    unsign,
)
from privaudit.ledger.chain import Call, Fees
from privaudit.ledger.errors import LedgerError

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
    with pytest.raises(
        LedgerError, match=r"auditor.json: (not an encrypted|damaged) keystore file"
    ):
        KeystoreAccounts(tmp_path, PASSWORD)


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
def test_signed_bytes_say_what_was_signed(to: str | None) -> None:
    key = EmbeddedAccounts().key("admin")
    sender = key.public_key.to_checksum_address()
    call = Call(sender=sender, to=to, data=b"\x01\x02", value=5, gas=90_000)
    signed = sign(key, 17, call, 3, Fees(most=9, tip=2))
    assert sign(key, 17, call, 3, Fees(most=9, tip=2)).raw == signed.raw
    assert unsign(signed.raw, sender) == signed
    assert Account.recover_transaction(signed.raw) == sender
