"""The journal: every action, every signed transaction, every receipt, on disk before it counts.

A SQLite file in write-ahead mode. Signed bytes are flushed to the disk before they are sent
(``synchronous=FULL``), so what has been sent is known after a crash, whenever it came. Receipts
are written without waiting for the disk: one that is lost is asked for, or computed, again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .chain import Log, Receipt
from .errors import LedgerError
from .store import Store

FILE = "journal.sqlite"
VERSION = "1"
SCHEMA = """
CREATE TABLE pins(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE intents(
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    request BLOB NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'mined', 'final', 'failed'))
) STRICT;
CREATE TABLE transactions(
    id INTEGER PRIMARY KEY,
    intent INTEGER NOT NULL REFERENCES intents(id),
    hash BLOB NOT NULL UNIQUE,
    account TEXT NOT NULL,
    sender TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    raw BLOB NOT NULL,
    block_time INTEGER,
    live INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX intents_by_status ON intents(status);
CREATE INDEX transactions_by_intent ON transactions(intent);
CREATE INDEX transactions_by_nonce ON transactions(sender, nonce);
CREATE TABLE receipts(
    hash BLOB PRIMARY KEY REFERENCES transactions(hash),
    intent INTEGER NOT NULL UNIQUE REFERENCES intents(id),
    block_number INTEGER NOT NULL,
    block_hash BLOB NOT NULL,
    block_time INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    gas_used INTEGER NOT NULL,
    gas_price TEXT NOT NULL,
    contract TEXT,
    logs TEXT NOT NULL,
    state_root BLOB
) STRICT;
CREATE INDEX receipts_by_block ON receipts(block_number);
INSERT INTO pins VALUES ('version', '1');
"""


@dataclass(frozen=True)
class Intent:
    """An action: its stable key, a digest of what was asked, and how far it has come.

    ``status`` is ``pending`` (signed, perhaps sent), ``mined``, ``final`` (mined deep enough) or
    ``failed`` (mined and reverted, or its nonce went to a transaction that is not ours).
    """

    id: int
    key: str
    request: bytes
    status: str


@dataclass(frozen=True)
class Entry:
    """A journalled transaction.

    ``account`` is the name of the account that signed it, ``sender`` its address.
    ``block_time`` is the time its block was given where we set it. Several live transactions of
    one action share a nonce: whichever is mined counts. ``live`` is 0 for those of an attempt
    that failed, when the action was asked for again.
    """

    id: int
    intent: int
    hash: bytes
    account: str
    sender: str
    nonce: int
    raw: bytes
    block_time: int | None
    live: int


class Journal:
    """An open journal.

    Args:
        folder: the ledger's folder; must exist.
        read_only: change nothing, not even beside the file.
        alone: with ``read_only``: the one file counts, a log beside it does not. For a run that
            ended, which leaves none; after a crash the log holds the last actions.

    Raises:
        LedgerError: there is no journal (read only), or it is damaged or of another version.
    """

    def __init__(self, folder: Path, *, read_only: bool = False, alone: bool = False) -> None:
        self.path = folder / FILE
        self._store = Store(self.path, SCHEMA, read_only=read_only, alone=alone)
        if self.pins().get("version") != VERSION:
            self._store.close()
            raise LedgerError("not a ledger journal of this version", where=str(self.path))

    # ------------------------------------------------------------------ pins

    def pins(self) -> dict[str, str]:
        """What this journal is tied to: chain, contract, accounts."""
        return dict(self._store.rows("SELECT key, value FROM pins"))

    def pin(self, values: Mapping[str, str]) -> None:
        """Tie the journal to something, once."""
        with self._store.durable() as db:
            db.executemany("INSERT INTO pins VALUES (?, ?)", list(values.items()))

    # ------------------------------------------------------------------ intents and transactions

    def intent(self, key: str) -> Intent | None:
        """The action with a key."""
        rows = self._store.rows("SELECT id, key, request, status FROM intents WHERE key = ?", key)
        return Intent(*rows[0]) if rows else None

    def pending(self) -> list[Intent]:
        """Actions that are signed but not known to be mined, oldest first."""
        rows = self._store.rows(
            "SELECT id, key, request, status FROM intents WHERE status = 'pending' ORDER BY id"
        )
        return [Intent(*row) for row in rows]

    def intents(self) -> list[Intent]:
        """All actions in the order they were first asked for."""
        rows = self._store.rows("SELECT id, key, request, status FROM intents ORDER BY id")
        return [Intent(*row) for row in rows]

    def record(self, transactions: Sequence[tuple[str, bytes, Entry]]) -> None:
        """Keep new actions, or new attempts at failed ones, all or none; on the disk on return.

        Args:
            transactions: key and request of the action, and the entry (its ids are ignored).
        """
        with self._store.durable() as db:
            for key, request, entry in transactions:
                (intent,) = db.execute(
                    "INSERT INTO intents(key, request, status) VALUES (?, ?, 'pending') "
                    "ON CONFLICT(key) DO UPDATE SET request = excluded.request, status = 'pending' "
                    "RETURNING id",
                    (key, request),
                ).fetchone()
                db.execute("DELETE FROM receipts WHERE intent = ?", (intent,))
                db.execute("UPDATE transactions SET live = 0 WHERE intent = ?", (intent,))
                _add(db, intent, entry)

    def replace(self, intent: int, entry: Entry) -> None:
        """Keep one more transaction for an action, with the nonce of the others."""
        with self._store.durable() as db:
            _add(db, intent, entry)

    def entries(self, intent: int | None = None) -> list[Entry]:
        """Transactions in the order they were signed; of one action, or all."""
        query = f"SELECT {_ENTRY} FROM transactions "
        rows = (
            self._store.rows(query + "ORDER BY id")
            if intent is None
            else self._store.rows(query + "WHERE intent = ? ORDER BY id", intent)
        )
        return [Entry(*row) for row in rows]

    def next_nonce(self, sender: str) -> int:
        """One more than the highest journalled nonce of an account; 0 without any."""
        query = "SELECT COALESCE(MAX(nonce) + 1, 0) FROM transactions WHERE sender = ?"
        return int(self._store.rows(query, sender)[0][0])

    # ------------------------------------------------------------------ receipts

    def settle(
        self, intent: int, receipt: Receipt, *, status: str, root: bytes | None = None
    ) -> None:
        """Keep the receipt of an action and its new status."""
        with self._store.quick() as db:
            db.execute(
                "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    receipt.hash,
                    intent,
                    receipt.block_number,
                    receipt.block_hash,
                    receipt.block_time,
                    int(receipt.succeeded),
                    receipt.gas_used,
                    str(receipt.gas_price),
                    receipt.contract,
                    _logs_to_json(receipt.logs),
                    root,
                ),
            )
            db.execute("UPDATE intents SET status = ? WHERE id = ?", (status, intent))

    def unsettle(self, intent: int, status: str) -> None:
        """An action has no receipt any more: ``pending`` again, or ``failed``."""
        with self._store.durable() as db:
            db.execute("DELETE FROM receipts WHERE intent = ?", (intent,))
            db.execute("UPDATE intents SET status = ? WHERE id = ?", (status, intent))

    def finalise(self, up_to: int) -> None:
        """Actions mined in this block or below are final."""
        with self._store.quick() as db:
            db.execute(
                "UPDATE intents SET status = 'final' WHERE status = 'mined' AND id IN "
                "(SELECT intent FROM receipts WHERE block_number <= ?)",
                (up_to,),
            )

    def receipt(self, intent: int) -> Receipt | None:
        """The receipt of an action."""
        rows = self._store.rows(f"SELECT {_RECEIPT} FROM receipts r WHERE intent = ?", intent)
        return self._receipt(rows[0]) if rows else None

    def receipts(self) -> list[tuple[Intent, Receipt, bytes | None]]:
        """All mined actions in the order of the chain, with the state root after each."""
        rows = self._store.rows(
            f"SELECT i.id, i.key, i.request, i.status, r.state_root, {_RECEIPT} FROM receipts r "
            "JOIN intents i ON i.id = r.intent JOIN transactions t ON t.hash = r.hash "
            "ORDER BY r.block_number, t.id"
        )
        return [(Intent(*row[:4]), self._receipt(row[5:]), row[4]) for row in rows]

    def newest(self) -> Receipt | None:
        """The receipt in the highest block."""
        rows = self._store.rows(
            f"SELECT {_RECEIPT} FROM receipts r ORDER BY block_number DESC LIMIT 1"
        )
        return self._receipt(rows[0]) if rows else None

    def _receipt(self, row: Sequence[Any]) -> Receipt:
        try:
            logs = tuple(
                Log(address, tuple(bytes.fromhex(topic) for topic in topics), bytes.fromhex(data))
                for address, topics, data in json.loads(row[8])
            )
            price = int(row[6])
        except (ValueError, TypeError):
            raise LedgerError("damaged receipt in the journal", where=str(self.path)) from None
        number, block, time, succeeded, used = row[1:6]
        return Receipt(row[0], number, block, time, bool(succeeded), used, price, row[7], logs)

    def close(self) -> None:
        """Close the file; it then consists of the one file alone."""
        self._store.close()


_ENTRY = "id, intent, hash, account, sender, nonce, raw, block_time, live"
_RECEIPT = (
    "r.hash, r.block_number, r.block_hash, r.block_time, r.succeeded, r.gas_used, r.gas_price, "
    "r.contract, r.logs"
)


def _add(db: sqlite3.Connection, intent: int, entry: Entry) -> None:
    db.execute(
        f"INSERT INTO transactions({_ENTRY}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 1)",
        (
            intent,
            entry.hash,
            entry.account,
            entry.sender,
            entry.nonce,
            entry.raw,
            entry.block_time,
        ),
    )


def _logs_to_json(logs: Sequence[Log]) -> str:
    plain = [[log.address, [topic.hex() for topic in log.topics], log.data.hex()] for log in logs]
    return json.dumps(plain, separators=(",", ":"))
