"""Reports on their way to the hub, kept in the device's own file until the hub has acknowledged them.

put ──▶ in memory ──(at once for events, within SAVE_AFTER for readings)──▶ file
           └──────────────▶ session ──▶ acknowledged ──▶ forgotten ◀── loaded again after a restart

What is acknowledged before it was saved never touches the disk. After a kill some reports may be sent
twice; the second has the same time as the first, by which the hub knows it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from plait.thing.errors import SpoolFull
from plait.wire.messages import SUBSCRIBE_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.thing.clock import Clock
    from plait.thing.kept.file import StateFile
    from plait.wire.codec import Encoded

LIMIT: Final = 64 << 20
"""Bytes of reports that are kept where nothing else is said."""

SAVE_AFTER: Final = 0.25
"""Seconds after which a reading that is not acknowledged is saved: what a power loss may cost."""

ROW: Final = 64
"""Bytes that a report takes in the file beside its body."""

MEMORY: Final = 10_000
"""Reports that wait in memory for a disk that does not take them; beyond it the oldest readings go."""

BATCH: Final = 256
_CUT: Final = 64
_NEVER: Final = 1 << 62
_MICRO: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAUSIBLE: Final = 1_735_689_600_000_000
"""2025-01-01: what is dated before was dated by a clock that nobody had set. Microseconds since 1970."""

log = logging.getLogger("plait.thing")


class Row(NamedTuple):
    """A report. `run` is that of the program which dated it before it knew the hub's time; else None."""

    number: int
    operation: str
    event: int
    run: int | None
    time: int
    body: bytes

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.body) + ROW


class Spool:
    """The reports of one thing.

    Args:
        file: where they are kept.
        clock: the device's.
        send: gives a report to the session; returns what the session keeps, None where it can never be sent.
        room: whether the session takes more just now.
        limit: bytes to keep.

    Attributes:
        dropped: readings that went because the limit was reached, in this run.
        told: set while the session has everything.
    """

    def __init__(
        self,
        file: StateFile,
        *,
        clock: Clock,
        send: Callable[[str, dict[str, Any]], Encoded | None],
        room: Callable[[], bool],
        limit: int = LIMIT,
    ) -> None:
        self._file, self._clock, self._send, self._room, self._limit = file, clock, send, room, limit
        self.dropped = 0
        self._lock = threading.Lock()
        self._unsaved: dict[int, Row] = {}
        self._loaded: deque[Row] = deque()
        self._in_flight: deque[tuple[Encoded, Row]] = deque()
        self._done = 0  # acknowledged up to this number, to be deleted with the next save
        self._loading: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        facts = file.now(_facts)
        self._run, self._oldest, self._last, self._bytes, self._event_bytes = facts
        self._next = 1  # the lowest number that the session has not had
        self._started = _micro(clock.now())
        self._dated = False
        self.told = asyncio.Event()

    def __len__(self) -> int:
        return self._last - max(self._next - 1 - len(self._in_flight), 0)

    # What the thing reports

    def admit(self, members: dict[str, Any]) -> None:
        """Take note that an event comes. From any thread.

        Raises:
            SpoolFull: there is no room for it, even with all readings gone.
        """
        size = len(_body(members)) + ROW
        with self._lock:
            if self._event_bytes + size > self._limit:
                raise SpoolFull(f"{self._limit} bytes of events wait for the hub; this one is not kept")
            self._event_bytes += size

    def put(self, operation: str, **members: Any) -> None:
        """Take a report. On the loop's thread."""
        self._last += 1
        event = operation == SUBSCRIBE_EVENT
        time = _micro(members["timestamp"])
        run = None if self._clock.sure else self._run
        self._unsaved[self._last] = Row(self._last, operation, int(event), run, time, _body(members))
        self._pump()
        self._save_soon(0.0 if event else SAVE_AFTER)

    async def saved(self) -> None:
        """Return when all that was put is on the disk, or acknowledged.

        Raises:
            sqlite3.Error: the disk does not take it.
        """
        while self._unsaved:
            await self._start_save()

    # What the session does with it

    def moved(self) -> None:
        """Take note that the session has a connection, or more room."""
        self._pump()

    def acknowledged(self, encoded: Encoded) -> None:
        """Take note that the hub has this for good."""
        if not self._in_flight or self._in_flight[0][0] is not encoded:
            return
        _, row = self._in_flight.popleft()
        if row.event:
            with self._lock:
                self._event_bytes = max(0, self._event_bytes - row.size)  # some came before it was counted
        self._unsaved.pop(row.number, None)
        self._done = row.number
        self._save_soon(SAVE_AFTER)

    def _pump(self) -> None:
        self._hand_over()
        if self._next > self._last:
            self.told.set()
        else:
            self.told.clear()

    def _hand_over(self) -> None:
        while self._next <= self._last and self._loading is None and self._room():
            if not self._dated:
                self._loading = asyncio.ensure_future(self._date())
                return
            if self._loaded:
                row = self._loaded.popleft()
            elif self._next in self._unsaved:
                row = self._unsaved[self._next]
            else:
                self._loading = asyncio.ensure_future(self._load())
                return
            members = msgspec.json.decode(row.body) | {"timestamp": _EPOCH + row.time * _MICRO}
            self._next = row.number + 1
            if (sent := self._send(row.operation, members)) is not None:
                self._in_flight.append((sent, row))

    async def _load(self) -> None:
        first = self._next
        try:
            rows = await self._file.do(lambda db: _select(db, first))
        except sqlite3.Error as error:
            log.error("%s: %s", self._file.path, error)  # noqa: TRY400 - its text says all
            self._loading = None
            return
        self._loading = None
        self._loaded.extend(rows)
        if not rows:
            self._next = min(self._unsaved, default=self._last + 1)
        self._pump()

    async def _date(self) -> None:
        """Put right the times of what was dated before the hub's was known, once and for good."""
        shift = self._clock.shift // _MICRO
        for number, row in self._unsaved.items():
            if row.run is not None:
                self._unsaved[number] = row._replace(run=None, time=row.time + shift)
        try:
            await self._file.do(partial(_redate, run=self._run, shift=shift, began=self._started + shift))
            self._dated = True
        except sqlite3.Error as error:
            log.error("%s: %s", self._file.path, error)  # noqa: TRY400 - its text says all
        self._loading = None
        self._pump()

    # The file

    def _save_soon(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._save_due)

    def _save_due(self) -> None:
        self._timer = None
        self._start_save().add_done_callback(self._save_ended)

    def _save_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            if self._unsaved:
                self._save_soon(SAVE_AFTER)
            return
        log.error("%s: %s; reports wait in memory", self._file.path, error)
        for number in [row.number for row in self._unsaved.values() if not row.event][: -MEMORY or None]:
            if number >= self._next:
                del self._unsaved[number]
        self._save_soon(10 * SAVE_AFTER)

    def _start_save(self) -> asyncio.Task[None]:
        if self._saving is None or self._saving.done():
            self._saving = asyncio.ensure_future(self._save())
        return self._saving

    async def _save(self) -> None:
        rows, done = list(self._unsaved.values()), self._done
        if not rows and self._oldest > done:
            return
        self._bytes, gone, self._oldest = await self._file.do(lambda db: self._write(db, rows, done))
        for row in rows:
            self._unsaved.pop(row.number, None)
        if gone and not self.dropped:
            log.warning("the spool is full (%d bytes): the oldest readings are dropped", self._limit)
        self.dropped += gone

    def _write(self, db: sqlite3.Connection, rows: list[Row], done: int) -> tuple[int, int, int]:
        """Keep these, forget what is acknowledged, cut to the limit.

        Return the bytes left, how many readings went, and the lowest number left.
        """
        size = self._bytes
        for (length,) in db.execute("DELETE FROM reports WHERE number <= ? RETURNING length(body)", (done,)):
            size -= length + ROW
        db.executemany("INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?)", rows)
        size += sum(row.size for row in rows)
        gone = 0
        while size > self._limit:
            cut = db.execute(
                "DELETE FROM reports WHERE number IN "
                "(SELECT number FROM reports WHERE event = 0 ORDER BY number LIMIT ?) RETURNING length(body)",
                (_CUT,),
            ).fetchall()
            if not cut:
                break
            size -= sum(length + ROW for (length,) in cut)
            gone += len(cut)
        return size, gone, _oldest(db)

    async def close(self) -> None:
        """Save what is left. Nothing may be put any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._saving is not None:
            await asyncio.gather(self._saving, return_exceptions=True)
        try:
            await self._save()
        except sqlite3.Error:
            log.exception("%s: %d reports are lost", self._file.path, len(self._unsaved))


def _micro(time: datetime) -> int:
    return (time - _EPOCH) // _MICRO


def _body(members: dict[str, Any]) -> bytes:
    return msgspec.json.encode({key: value for key, value in members.items() if key != "timestamp"})


def _oldest(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(min(number), ?) FROM reports", (_NEVER,)).fetchone()[0])


def _facts(db: sqlite3.Connection) -> tuple[int, int, int, int, int]:
    (runs,) = db.execute("SELECT value FROM facts WHERE name = 'runs'").fetchone()
    last, size, events = db.execute(
        "SELECT coalesce(max(number), 0), coalesce(sum(length(body) + ?1), 0), "
        "coalesce(sum((length(body) + ?1) * event), 0) FROM reports",
        (ROW,),
    ).fetchone()
    return runs, _oldest(db), last, size, events


def _select(db: sqlite3.Connection, first: int) -> list[Row]:
    found = db.execute("SELECT * FROM reports WHERE number >= ? ORDER BY number LIMIT ?", (first, BATCH))
    return [Row(*row) for row in found]


def _redate(db: sqlite3.Connection, *, run: int, shift: int, began: int) -> None:
    """Date the reports of runs that did not know the hub's time.

    Of an earlier run only the distances are certain where its times cannot be true: it is taken to have ended
    when this one began.
    """
    for other, first, last in db.execute(
        "SELECT run, min(time), max(time) FROM reports WHERE run IS NOT NULL GROUP BY run"
    ).fetchall():
        by = shift if other == run else 0 if first >= _PLAUSIBLE and last <= began else began - last
        db.execute("UPDATE reports SET time = time + ?, run = NULL WHERE run = ?", (by, other))
