"""One SQLite file in a thing's folder: what must outlive its process. One thread works on it.

    reports  what the hub has not acknowledged yet            (`spool.py`)
    actions  what was begun, and how it ended                 (`journal.py`)
    facts    small numbers, such as how many runs there were

WAL with synchronous=FULL: what a finished `do` has written survives SIGKILL and power loss. The file is
locked for this process alone.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from plait.wire.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS reports (
    number INTEGER PRIMARY KEY, operation TEXT NOT NULL, event INTEGER NOT NULL,
    run INTEGER, time INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS telemetry ON reports (number) WHERE event = 0;
CREATE TABLE IF NOT EXISTS actions (
    number INTEGER PRIMARY KEY, message TEXT NOT NULL UNIQUE, answer BLOB
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

_WAL_KEPT: Final = 1 << 20
"""Bytes to which SQLite cuts its write-ahead log when that has been worked in."""

log = logging.getLogger("plait.thing")


class StateFile:
    """The file, open.

    Args:
        path: where it is; made where it is missing, with its folder, readable by its user alone.

    Raises:
        Busy: another process has it open.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        try:
            self._db = self._open()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Busy(f"Another process has {path} open") from error
            raise OSError(f"{path}: {error}") from error
        except sqlite3.DatabaseError as error:
            # A device that does not start any more helps nobody: begin anew, and keep what was there.
            aside = path.with_suffix(".broken")
            log.error("%s: %s; it is put aside as %s", path, error, aside.name)  # noqa: TRY400 - a fault of the disk
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            path.replace(aside)
            path.touch(mode=0o600)
            self._db = self._open()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="plait-state")

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA cache_size = -256")  # KiB: a small device reads each row once
            db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
            db.executescript(_SCHEMA)
            db.execute("INSERT INTO facts VALUES ('runs', 1) ON CONFLICT DO UPDATE SET value = value + 1")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Work in one transaction, here; only before the first `do`."""
        return self._transaction(work)

    def do(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Work in one transaction, on the file's thread; the future is done when that is committed.

        Raises:
            sqlite3.Error: it was not committed (the disk is full, or broken).
        """
        return asyncio.wrap_future(self._thread.submit(self._transaction, work))

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        return result

    async def close(self) -> None:
        """Finish what was asked for, and close."""
        await asyncio.to_thread(self._thread.shutdown)
        self._db.close()
