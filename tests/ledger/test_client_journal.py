"""The journal: damage is found, another ledger's is refused, two processes never share one."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from client_kit import killed_child, play

from privaudit.chain import artefact
from privaudit.chain.errors import LedgerError
from privaudit.chain.journal import FILE, Journal
from privaudit.chain.opening import open_ledger, view_ledger

FULL = 2
"""SQLite's number for synchronous=FULL."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A folder with the ledger of a run, and its state root; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished")
    with open_ledger(folder) as ledger:
        play(ledger, rounds=1)
        return folder, ledger.chain.state_root() or b""


@pytest.fixture
def copy(finished: tuple[Path, bytes], tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished[0], tmp_path / "copy"))


def change(folder: Path, statement: str) -> None:
    """Tamper with a journal."""
    with sqlite3.connect(folder / FILE) as db:
        assert db.execute(statement).rowcount >= 1
    db.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE receipts SET state_root = zeroblob(32) WHERE intent = 5", "state root 0000"),
        ("UPDATE receipts SET gas_used = gas_used + 1 WHERE intent = 5", "gas_used"),
        ("UPDATE receipts SET logs = '[]' WHERE intent = 5", "logs"),
        ("UPDATE receipts SET logs = '[[]]' WHERE intent = 5", "damaged"),
        ("UPDATE receipts SET block_hash = zeroblob(32) WHERE intent = 5", "block_hash"),
        ("UPDATE transactions SET raw = zeroblob(99) WHERE id = 5", "damaged transaction"),
        ("UPDATE transactions SET block_time = block_time + 1 WHERE id = 5", "block"),
        ("UPDATE transactions SET block_time = block_time - 9 WHERE id = 5", "block time"),
        ("DELETE FROM receipts WHERE intent = 5", "no receipt"),
        ("UPDATE transactions SET intent = 99 WHERE id = 5", "without its action"),
        ("UPDATE pins SET value = '00' WHERE key = 'genesis'", "genesis"),
        ("UPDATE pins SET value = '0' WHERE key = 'version'", "version"),
        ("UPDATE pins SET value = replace(value, '0x', '0y') WHERE key = 'admin'", "admin"),
        ("DELETE FROM pins WHERE key = 'kind'", "kind"),
        ("UPDATE pins SET value = '00' WHERE key = 'code_hash'", "code_hash"),
        ("DELETE FROM pins WHERE key = 'contract'", "never deployed"),
    ],
)
def test_tampering_is_named(copy: Path, statement: str, message: str) -> None:
    change(copy, "UPDATE pins SET value = value")
    change(copy, statement)
    with pytest.raises(LedgerError, match=message):
        view_ledger(copy)


def test_a_flipped_byte_never_passes_for_another_chain(
    finished: tuple[Path, bytes], copy: Path
) -> None:
    # Bytes outside of any row can change without a trace; the run's seal covers the file itself.
    folder, root = finished
    content = (folder / FILE).read_bytes()
    chance = random.Random(5)
    found = 0
    for _ in range(25):
        place = chance.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << chance.randrange(8)
        (copy / FILE).write_bytes(flipped)
        try:
            with view_ledger(copy) as view:
                assert view.chain.state_root() == root
                view.history()
        except LedgerError:
            found += 1
    assert found > 0


def test_text_for_a_journal(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("this is no database, though it is quite long " * 100)
    with pytest.raises(LedgerError, match="damaged"):
        open_ledger(tmp_path)
    with pytest.raises(LedgerError, match="damaged"):
        view_ledger(tmp_path)


def test_killed_between_the_mode_and_the_tables(tmp_path: Path) -> None:
    """SQLite writes the mode into the file before there is any table: it has a size already."""
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("PRAGMA journal_mode=WAL")
    db.close()
    assert (tmp_path / FILE).stat().st_size > 0
    open_ledger(tmp_path).close()
    view_ledger(tmp_path).close()


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger journal"):
        view_ledger(tmp_path)
    Journal(tmp_path).close()
    with pytest.raises(LedgerError, match="never deployed"):
        view_ledger(tmp_path)


def test_other_accounts_are_refused(copy: Path) -> None:
    with pytest.raises(LedgerError, match="belongs to another ledger: admin"):
        open_ledger(copy, seed=1)
    open_ledger(copy).close()


def test_other_contract_is_refused(copy: Path) -> None:
    with pytest.raises(LedgerError, match="belongs to another ledger: contract"):
        open_ledger(copy, contract="0x" + "11" * 20)


def test_embedded_ledger_has_no_node(copy: Path) -> None:
    with pytest.raises(LedgerError, match="on an embedded chain; leave --rpc out"):
        view_ledger(copy, rpc="http://127.0.0.1:1")


def test_ledger_of_another_version_of_the_contract(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = dataclasses.replace(artefact.load(), runtime=b"\x60\x01")
    monkeypatch.setattr(artefact, "versions", lambda: (newer,))
    for opened in (open_ledger, view_ledger):
        with pytest.raises(LedgerError, match="made with another version of the contract; use"):
            opened(copy)


@pytest.mark.parametrize("contract", ["", "0x12", "nonsense", "0x" + "zz" * 20])
def test_contract_that_is_no_address(tmp_path: Path, contract: str) -> None:
    with pytest.raises(LedgerError, match=r"contract: '.*' is not the address of a contract"):
        open_ledger(tmp_path, contract=contract)


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(LedgerError, match="file: cannot be used"):
        open_ledger(tmp_path / "file")


def test_confirmations_below_one(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="confirmations must be at least 1, not 0"):
        open_ledger(tmp_path, confirmations=0)


def test_second_process_is_told(tmp_path: Path) -> None:
    told, tell = os.pipe()
    with open_ledger(tmp_path):

        def second() -> None:
            try:
                open_ledger(tmp_path)
            except LedgerError as error:
                os.write(tell, str(error).encode())

        assert not killed_child(second)
    assert b"another process is using this ledger" in os.read(told, 1000)
    with open_ledger(tmp_path) as ledger:
        assert ledger.view("round_count") == 0


def test_failed_opening_leaves_the_ledger_free(copy: Path) -> None:
    for _ in range(2):
        with pytest.raises(LedgerError, match="another ledger"):
            open_ledger(copy, seed=1)
    open_ledger(copy).close()


def test_journal_keeps_what_it_is_given_in_full_or_not_at_all(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with open_ledger(tmp_path / "other") as ledger:
        (entry,) = ledger.journal.entries()
    with pytest.raises(LedgerError, match="damaged"):
        journal.record([("a", b"\x01", entry), ("b", b"\x02", entry)])
    assert journal.intents() == journal.entries() == []
    journal.record([("a", b"\x01", entry)])
    assert [intent.key for intent in journal.pending()] == ["a"]
    assert journal.next_nonce(entry.sender) == entry.nonce + 1
    journal.close()


def test_signed_bytes_are_flushed_to_the_disk_receipts_are_not(tmp_path: Path) -> None:
    # No crash of a process shows this, only one of the machine; so look at what SQLite is told.
    with open_ledger(tmp_path) as ledger:
        database, told = ledger.journal._store.db, []
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (FULL,)
        database.set_trace_callback(told.append)
        ledger.fund(5)
        database.set_trace_callback(None)
    modes = {}
    mode = "FULL"
    for statement in told:
        mode = statement.partition("synchronous=")[2] or mode
        if statement.startswith("INSERT"):
            modes[statement.split("(")[0].split(" VALUES")[0]] = mode
    assert modes == {
        "INSERT INTO intents": "FULL",
        "INSERT INTO transactions": "FULL",
        "INSERT OR REPLACE INTO receipts": "NORMAL",
    }
