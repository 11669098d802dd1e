"""The journal's file: a SQLite database in write-ahead mode, with two strengths of writing."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .errors import LedgerError


class Store:
    """An open database.

    Args:
        path: the file; its folder must exist.
        schema: statements that make a new one; nothing else may be in an old one.
        read_only: change nothing, not even beside the file.
        alone: with ``read_only``: what lies beside the file is not looked at, whoever put it there.

    Raises:
        LedgerError: there is no file (read only), or it is no database, or one of something else.
    """

    def __init__(
        self, path: Path, schema: str, *, read_only: bool = False, alone: bool = False
    ) -> None:
        self.path = path
        with self._guarded():
            self.db = self._read(alone) if read_only else self._write(schema)
            (verdict,) = self.db.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict == "ok":
                verdict = self._stranger(schema)
        if verdict != "ok":
            self.db.close()
            raise LedgerError(f"the journal is damaged: {verdict}", where=str(path))

    def rows(self, query: str, *values: Any) -> list[Any]:
        """All rows of a query."""
        with self._guarded():
            return self.db.execute(query, values).fetchall()

    @contextmanager
    def durable(self) -> Iterator[sqlite3.Connection]:
        """One transaction that is on the disk when it ends."""
        with self._guarded():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                if self.db.in_transaction:  # a full disk has ended it already
                    self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    @contextmanager
    def quick(self) -> Iterator[sqlite3.Connection]:
        """One transaction that reaches the disk with the next durable one."""
        with self._guarded():
            self.db.execute("PRAGMA synchronous=NORMAL")
            try:
                with self.durable() as db:
                    yield db
            finally:
                self.db.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        """Close the database; it then consists of its one file alone."""
        self.db.close()

    def _write(self, schema: str) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        # Not by the file's size: the mode above is in the file before the first table is, and a
        # process may be killed in between.
        (tables,) = db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        if not tables:
            db.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
            _flush_folder(self.path.parent)
        return db

    def _stranger(self, schema: str) -> str:
        """``ok``, or what the schema does not make: a table, a view, a trigger."""
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
        with closing(sqlite3.connect(":memory:")) as new:
            new.executescript(schema)
            made = set(new.execute(query))
        for kind, name, *_ in sorted(set(self.db.execute(query)) ^ made):
            return f"{kind} '{name}' is not that of a ledger journal"
        return "ok"

    def _read(self, alone: bool) -> sqlite3.Connection:
        if not self.path.exists():
            raise LedgerError("there is no ledger journal", where=str(self.path))
        # After a crash there is a log beside the file, and SQLite must be let at both.
        left_over = not alone and self.path.with_name(self.path.name + "-wal").exists()
        mode = "mode=ro" if left_over else "mode=ro&immutable=1"
        uri = f"{self.path.resolve().as_uri()}?{mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise OSError(errno.ENOSPC, f"cannot be written: {error}", str(self.path)) from None
            text = f"the journal cannot be used: {error}"
            raise LedgerError(text, where=str(self.path)) from None
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise LedgerError(f"the journal is damaged: {error}", where=str(self.path)) from None


def _flush_folder(folder: Path) -> None:
    """Have the new file's name on the disk too; Windows knows no such call and needs none."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
