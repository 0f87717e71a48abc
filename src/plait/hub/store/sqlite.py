"""The store in one SQLite file: hot paths on the driver, what is asked seldom through SQLAlchemy."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from sqlalchemy import delete, select, update

from plait.hub.contracts import Entry, NotKept
from plait.hub.reply import Reply
from plait.hub.store import database, tables
from plait.hub.store.credentials import Credentials
from plait.hub.store.pairings import PairingStore
from plait.hub.store.writer import Writer
from plait.wire.errors import OutcomeUnknown

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from plait.hub.contracts import Done, Happening, Mark, Reading

T = TypeVar("T")

_LAST: Final = (
    "INSERT INTO properties (thing, name, time, value) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (thing, name) DO UPDATE SET time = excluded.time, value = excluded.value RETURNING number"
)
_READING: Final = (
    "INSERT INTO readings (property, time, value) VALUES (?, ?, ?) "
    "ON CONFLICT (property, time) DO UPDATE SET value = excluded.value WHERE value != excluded.value"
)
_EVENT: Final = "INSERT OR IGNORE INTO events (thing, time, name, data) VALUES (?, ?, ?, ?)"
_DESCRIBE: Final = (
    "INSERT INTO things (id, description, registered, updated) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET description = excluded.description, updated = excluded.updated"
)
_OPEN: Final = (
    "INSERT OR IGNORE INTO actions (sender, message, thing, name, input, deadline, state, opened) "
    "VALUES (?, ?, ?, ?, ?, ?, 'pending', ?)"
)
_CLOSE: Final = "UPDATE actions SET state = ?, output = ?, closed = ? WHERE sender = ? AND message = ?"
_ACTION: Final = (
    "SELECT thing, name, input, deadline, state, output FROM actions WHERE sender = ? AND message = ?"
)
_HISTORY: Final = (
    "SELECT time, value FROM readings "
    "WHERE property = (SELECT number FROM properties WHERE thing = ? AND name = ?) "
    "AND time >= ? AND time < ? ORDER BY time DESC LIMIT ?"
)
_STATISTICS: Final = (
    "SELECT ? + bucket * ?, avg(number), min(number), max(number), count(*) FROM ("
    "SELECT (time - ?) / ? AS bucket, CAST(value AS REAL) AS number FROM readings "
    "WHERE property = (SELECT number FROM properties WHERE thing = ? AND name = ?) "
    "AND time >= ? AND time < ?) GROUP BY bucket ORDER BY bucket"
)
_MARKED: Final = "SELECT seq FROM sessions WHERE id = ? AND principal = ?"
_KEEP_US: Final = 30 * 24 * 3600 * 1_000_000
"""How long sessions' marks and the journal's closed actions are kept: 30 days."""


def microseconds() -> int:
    """Return this machine's clock as the store counts: microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class SqliteStore:
    """Implements `contracts.Store`, and what `hub/main` needs at start.

    Args:
        folder: the data folder; made where it is missing.
        committed: told of each commit, on the writer's thread: its seconds, and how many writes it held.
    """

    def __init__(
        self, folder: Path, *, committed: Callable[[float, int], None] = lambda _s, _n: None
    ) -> None:
        self._path = database.open_folder(folder)
        self._lock = database.FolderLock(folder)
        self._engine = database.engine(self._path)
        database.migrate(self._engine)
        self._tidy()
        self.credentials = Credentials(self._engine)
        self.pairings = PairingStore(self._engine)
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="plait-read")
        self._reader = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(self._path, self._loop, committed=committed)

    async def close(self) -> None:
        """Commit what waits, then close."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._opened:
            connection.close()
        self._engine.dispose()
        self._lock.release()

    @property
    def waiting(self) -> int:
        """How many writes wait for their transaction to begin."""
        return self._writer.waiting

    # Writing

    def add_reading(self, reading: Reading, mark: Mark | None, done: Done) -> None:
        """Keep a reading, and take it as the property's last value. The same reading twice is one."""

        def run(db: sqlite3.Connection) -> None:
            last = (reading.thing, reading.name, reading.time, reading.value)
            number = db.execute(_LAST, last).fetchone()[0]
            reading.known = db.execute(_READING, (number, reading.time, reading.value)).rowcount == 0

        self._writer.put(run, mark, done)

    def add_event(self, event: Happening, mark: Mark | None, done: Done) -> None:
        """Keep an event. The same event twice is one."""

        def run(db: sqlite3.Connection) -> None:
            event.known = db.execute(_EVENT, (event.thing, event.time, event.name, event.data)).rowcount == 0

        self._writer.put(run, mark, done)

    def describe(self, thing: str, description: bytes, mark: Mark | None) -> Reply[None]:
        """Keep a thing's description."""

        def run(db: sqlite3.Connection) -> None:
            stamp = microseconds()
            db.execute(_DESCRIBE, (thing, description, stamp, stamp))

        return self._write(run, mark)

    def open_action(self, entry: Entry, mark: Mark | None) -> Reply[bool]:
        """Journal an action before it is dispatched; False where its sender and message are there already."""

        def run(db: sqlite3.Connection) -> bool:
            key = (entry.sender, entry.message, entry.thing, entry.name)
            rows = db.execute(_OPEN, (*key, entry.input, entry.deadline, microseconds())).rowcount
            return rows == 1

        return self._write(run, mark)

    def close_action(self, entry: Entry) -> Reply[None]:
        """Journal how an action ended."""

        def run(db: sqlite3.Connection) -> None:
            db.execute(_CLOSE, (entry.state, entry.output, microseconds(), entry.sender, entry.message))

        return self._write(run, None)

    def marked(self, session: str, principal: str) -> Reply[int]:
        """Return how far a session was committed, once all that waits now is; 0 where it is not known."""

        def run(db: sqlite3.Connection) -> int:
            row = db.execute(_MARKED, (session, principal)).fetchone()
            return 0 if row is None else int(row[0])

        return self._write(run, None)

    def _write(self, run: Callable[[sqlite3.Connection], T], mark: Mark | None) -> Reply[T]:
        reply: Reply[T] = Reply()
        results: list[T] = []

        def collect(db: sqlite3.Connection) -> None:
            results[:] = [run(db)]  # replaced where the group is undone and tried again

        def done(error: BaseException | None) -> None:
            if error is None:
                reply.set(results[0])
            else:
                reply.fail(error if isinstance(error, NotKept) else NotKept(repr(error)))

        self._writer.put(collect, mark, done)
        return reply

    # Reading

    def action(self, sender: str, message: str) -> Reply[Entry | None]:
        """Return a journaled action."""

        def run(db: sqlite3.Connection) -> Entry | None:
            row = db.execute(_ACTION, (sender, message)).fetchone()
            return None if row is None else Entry(sender, message, *row)

        return self._read(run)

    def history(
        self, thing: str, name: str, start: int, end: int, limit: int
    ) -> Reply[list[tuple[int, bytes]]]:
        """Return the newest `limit` readings of `start <= time < end`, oldest first, as (time, JSON)."""

        def run(db: sqlite3.Connection) -> list[tuple[int, bytes]]:
            return db.execute(_HISTORY, (thing, name, start, end, limit)).fetchall()[::-1]

        return self._read(run)

    def statistics(
        self, thing: str, name: str, start: int, end: int, width: int
    ) -> Reply[list[tuple[int, float, float, float, int]]]:
        """Return a number's readings summed up in buckets. See `contracts.Store`."""
        asked = (start, width, start, width, thing, name, start, end)
        return self._read(lambda db: db.execute(_STATISTICS, asked).fetchall())

    def _read(self, run: Callable[[sqlite3.Connection], T]) -> Reply[T]:
        reply: Reply[T] = Reply()

        def done(future: asyncio.Future[T]) -> None:
            error = future.exception()
            if error is None:
                reply.set(future.result())
            else:
                reply.fail(error)

        self._loop.run_in_executor(self._readers, self._reading, run).add_done_callback(done)
        return reply

    def _reading(self, run: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._reader, "connection", None)
        if connection is None:
            connection = database.connect(self._path, readonly=True)
            self._reader.connection = connection
            self._opened.append(connection)
        return run(connection)

    def descriptions(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every thing's id and description, in the order in which they were registered."""
        query = select(tables.things.c.id, tables.things.c.description).order_by(tables.things.c.registered)
        with self._engine.connect() as connection:
            return [(row.id, msgspec.json.decode(row.description)) for row in connection.execute(query)]

    def last_values(self) -> list[tuple[str, str, int, Any]]:
        """Return every property's last value, as (thing, name, time, value)."""
        columns = tables.properties.c
        query = select(columns.thing, columns.name, columns.time, columns.value)
        with self._engine.connect() as connection:
            return [
                (row.thing, row.name, row.time, msgspec.json.decode(row.value))
                for row in connection.execute(query)
            ]

    def pending_actions(self) -> list[Entry]:
        """Return the actions that an earlier hub journaled and did not see ended. Asked once, at start."""
        of = tables.actions.c
        query = select(of.sender, of.message, of.thing, of.name, of.input, of.deadline)
        with self._engine.connect() as connection:
            rows = connection.execute(query.where(of.state == "pending").order_by(of.opened))
            return [Entry(*row) for row in rows]

    def _tidy(self) -> None:
        """Close what a killed hub left open and is past its deadline, and forget what is long past."""
        old = microseconds() - _KEEP_US
        problem = msgspec.json.encode(OutcomeUnknown("the hub was stopped meanwhile").problem())
        actions, sessions = tables.actions, tables.sessions
        with self._engine.begin() as connection:
            connection.execute(
                update(actions)
                .where(actions.c.state == "pending", actions.c.deadline <= microseconds())
                .values(state="failed", output=problem, closed=microseconds())
            )
            connection.execute(delete(actions).where(actions.c.closed < old))
            connection.execute(delete(sessions).where(sessions.c.updated < old))
