"""One thread that writes. Everything that waits when a commit begins is committed together.

A commit with synchronous=FULL costs an fsync however much it holds, so that under load the cost per write
falls by itself, and a single write waits for nobody.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from plait.hub.contracts import NotKept
from plait.hub.store import database

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from pathlib import Path

    from plait.hub.contracts import Done, Mark

_log = structlog.get_logger("plait.hub")

_BATCH: Final = 2000
"""Most writes in one transaction: bounds how long the first of them waits (about 20 ms)."""

_MARK: Final = (
    "INSERT INTO sessions (id, principal, seq, updated) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET seq = max(seq, excluded.seq), updated = excluded.updated"
)

Run = Callable[["sqlite3.Connection"], None]


@dataclass(slots=True)
class _Write:
    run: Run
    mark: Mark | None
    done: Done
    error: BaseException | None = None


class Writer:
    """Commits writes in the order in which they came, in groups.

    Args:
        path: the database file.
        loop: where `done` is called.
        committed: told of each commit on the writer's thread: seconds, and how many writes it held.
    """

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        *,
        committed: Callable[[float, int], None],
    ) -> None:
        self._loop = loop
        self._committed = committed
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._broken: set[str] = set()
        self._connection = database.connect(path)
        self._thread = threading.Thread(target=self._work, name="plait-store", daemon=True)
        self._thread.start()

    def put(self, run: Run, mark: Mark | None, done: Done) -> None:
        """Write soon; `done` is called on the loop after the commit, or with the error."""
        self._queue.put(_Write(run, mark, done))

    @property
    def waiting(self) -> int:
        """How many writes wait for their transaction to begin."""
        return self._queue.qsize()

    def close(self) -> None:
        """Commit what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        ending = False
        while not ending:
            batch = []
            write = self._queue.get()
            while write is not None:
                batch.append(write)
                if len(batch) >= _BATCH or self._queue.empty():
                    break
                write = self._queue.get()
            ending = write is None
            if batch:
                self._write(batch)
                self._loop.call_soon_threadsafe(_tell, batch)

    def _write(self, batch: list[_Write]) -> None:
        try:
            self._commit(batch)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            self._undo()
            if len(batch) == 1:
                self._fail(batch[0], error)
                return
            # One of them is to blame: alone, each gets its own result.
            for write in batch:
                self._write([write])

    def _commit(self, batch: list[_Write]) -> None:
        began = time.perf_counter()
        connection = self._connection
        marks: dict[str, Mark] = {}
        connection.execute("BEGIN IMMEDIATE")
        for write in batch:
            if write.mark is not None:
                if write.mark.session in self._broken:
                    raise NotKept("an earlier write of this session failed")
                marks[write.mark.session] = write.mark
            write.run(connection)
        if marks:
            stamp = time.time_ns() // 1000
            connection.executemany(
                _MARK, [(mark.session, mark.principal, mark.seq, stamp) for mark in marks.values()]
            )
        connection.execute("COMMIT")
        self._committed(time.perf_counter() - began, len(batch))

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _fail(self, write: _Write, error: Exception) -> None:
        write.error = error
        if write.mark is not None:
            # What this session sends after the lost write must not move its mark past it.
            self._broken.add(write.mark.session)


def _tell(batch: list[_Write]) -> None:
    """Tell each who waits, on the loop; log there as well, since the writer must outlive a log that fails."""
    for write in batch:
        try:
            write.done(write.error)
        except Exception:  # noqa: BLE001 - whoever else waits is told all the same
            _log.exception("after a commit")
    for write in batch:
        if write.error is not None and not isinstance(write.error, NotKept):
            _log.error("write failed", error=repr(write.error))
