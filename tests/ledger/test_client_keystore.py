"""A keystore is made whole or not at all, for its owner alone, with a password worth the name."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ledger_runs import run_command

from privaudit.chain import accounts, keystore
from privaudit.chain.accounts import ROLES, KeystoreAccounts, address
from privaudit.chain.keystore import create_keystore, list_keystore
from privaudit.chain.password import PASSWORD_VARIABLE, weakness

PASSWORD = "tH8-vq2m-Kz9w"
CHEAP = 2


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that take no second to make; nobody types, nothing is in the environment."""
    encrypt = keystore.Account.encrypt
    monkeypatch.setattr(
        keystore.Account,
        "encrypt",
        lambda key, password, kdf, iterations: encrypt(key, password, kdf, CHEAP),
    )
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)


def typing(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """A terminal at which somebody types this; what was asked for."""

    class Terminal:
        def isatty(self) -> bool:
            return True

    left, asked = list(answers), []

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        if not left:
            raise EOFError
        return left.pop(0)

    monkeypatch.setattr(accounts.getpass, "getpass", getpass)
    monkeypatch.setattr(sys, "stdin", Terminal())
    return asked


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --------------------------------------------------------------------- the command


def test_made_with_a_password_typed_twice_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = typing(monkeypatch, PASSWORD, PASSWORD)
    place = tmp_path / "below" / "keys"
    assert run_command("keys", str(place)) == 0
    assert asked == ["New keystore password: ", "Again: "]
    said = capsys.readouterr().out
    opened = KeystoreAccounts(place, PASSWORD)
    for role in ROLES:
        assert f"{role:<11}  {address(opened, role)}\n" in said
    assert PASSWORD not in said
    if sys.platform != "win32":
        assert mode(place) == 0o700
        assert {mode(file) for file in place.iterdir()} == {0o600}
    assert run_command("keys", str(place), "--list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["keys"]
    assert {key["role"]: key["address"] for key in listed} == {
        role: address(opened, role) for role in ROLES
    }
    assert len(asked) == 2  # a list needs no password


def test_made_with_a_password_file_and_opened_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, place = tmp_path / "password", tmp_path / "keys"
    file.write_text(f"{PASSWORD}\nnot this line\n")
    place.mkdir(mode=0o755)  # empty: it is closed to others
    assert run_command("keys", str(place), "--password-file", str(file)) == 0
    assert mode(place) == 0o700 or sys.platform == "win32"
    assert run_command("keys", str(place), "--list", "--password-file", str(file)) == 0
    file.write_text("another one, much longer\n")
    assert run_command("keys", str(place), "--list", "--password-file", str(file)) == 2
    assert "admin.json: wrong keystore password" in capsys.readouterr().err


def test_the_list_has_clients_and_what_a_file_does_not_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = create_keystore(tmp_path / "keys", PASSWORD)
    text = json.loads((tmp_path / "keys/admin.json").read_text())
    for number in (10, 2):
        (tmp_path / f"keys/client-{number}.json").write_text(json.dumps({**text, "address": ""}))
    found = list_keystore(tmp_path / "keys")
    assert [key.role for key in found] == [*ROLES, "client/2", "client/10"]
    assert [key.address for key in found] == [*(made[role] for role in ROLES), "", ""]
    opened = list_keystore(tmp_path / "keys", PASSWORD)
    assert opened[-1].address == made["admin"]
    assert run_command("keys", str(tmp_path / "keys"), "--list") == 0
    assert "client/10    (the file does not say)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "options", "told"),
    [
        ("keystore", [], "a keystore exists already (auditor.json); keys are never overwritten"),
        ("other", [], "the folder is not empty (notes.txt)"),
        ("file", [], "is a file, not a folder"),
        ("file", ["--list"], "is a file, not a folder"),
        ("nothing", ["--list"], "there is no such folder"),
        ("other", ["--list"], "there is no keystore"),
        ("broken", ["--list"], "auditor.json: not an encrypted keystore file"),
        ("nothing", ["--password-file", "nowhere.txt"], "nowhere.txt: the password file cannot be"),
        ("nothing", [], "no keystore password; set PRIVAUDIT_KEYSTORE_PASSWORD"),
    ],
)
def test_what_is_refused_in_one_line_changes_nothing(
    before: str,
    options: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "keys"
    if before == "file":
        place.write_text("x")
    elif before != "nothing":
        place.mkdir()
        name = {"other": "notes.txt"}.get(before, "auditor.json")
        (place / name).write_text("x")
    contents = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    monkeypatch.setattr(sys, "stdin", None)
    assert run_command("keys", str(place), *options) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert told in lines[0]
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == contents
    assert place.exists() == (before != "nothing")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((PASSWORD, PASSWORD + "x"), "the two passwords differ"),
        (("short",), "the keystore password is weak: it has 5 characters, 12 are the least"),
        ((), "no keystore password"),
        ((PASSWORD,), "no keystore password"),  # Ctrl-D at the second question
    ],
)
def test_a_password_that_cannot_be_taken_makes_no_keystore(
    answers: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typing(monkeypatch, *answers, *answers[:1] * (told.startswith("the keystore")))
    assert run_command("keys", str(tmp_path / "keys")) == 2
    said = capsys.readouterr().err
    assert told in said
    assert not any(answer in said for answer in answers)
    assert not (tmp_path / "keys").exists()


# --------------------------------------------------------------------- the files


def test_half_a_keystore_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = os.fsync, []

    def full_disk(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            create_keystore(tmp_path / "keys", PASSWORD)
    assert list((tmp_path / "keys").iterdir()) == []
    assert set(create_keystore(tmp_path / "keys", PASSWORD)) == set(ROLES)


def test_the_environment_does_not_choose_another_derivation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore.Account, "_default_kdf", "pbkdf2")
    create_keystore(tmp_path / "keys", PASSWORD)
    assert json.loads((tmp_path / "keys/admin.json").read_text())["crypto"]["kdf"] == "scrypt"


# --------------------------------------------------------------------- passwords


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("", "has 0 characters"),
        ("eleven chrs", "has 11 characters"),
        ("passwordpassword", "repetitions and well-known words"),
        ("Password1234!", "rows of the alphabet, digits or keys and well-known words"),
        ("aaaaaaaaaaaaaaa", "repetitions"),
        ("x7x7x7x7x7x7x7", "repetitions"),
        ("abcdefghijklmnop", "rows"),
        ("987654321098", "rows"),
        ("qwertzuiopasdf", "rows"),
        ("AdminAuditor12", "well-known words"),
        ("correct horse battery staple", "well-known words"),
        ("\uff50\uff41\uff53\uff53word12345678", "well-known words"),  # wide letters are letters
    ],
)
def test_a_weak_password_is_told_why(password: str, told: str) -> None:
    assert told in weakness(password)


@pytest.mark.parametrize(
    "password",
    [PASSWORD, "mauve otter climbs a slow tram", "Gr\u00fcn-Wal-Uhr-77", "q8\u4e2dk3\u6587z1m7v0"],
)
def test_a_password_that_nobody_guesses_is_taken(password: str) -> None:
    assert weakness(password) == ""


@given(st.text(max_size=40))
@example("\u2460" * 12)
def test_any_text_is_judged_and_never_repeated(password: str) -> None:
    said = weakness(password)
    assert "\n" not in said
    assert len(password) < 4 or password not in said
