"""Actions that are done once, whatever is killed: begun is written before, ended before the answer goes out.

asked ──▶ new: begun is committed ──▶ done ──▶ its answer is committed ──▶ answered
      └─▶ there with its answer: that
      └─▶ there without: the program ended meanwhile; nobody can tell how far it came
"""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.wire.errors import ActionFailed, OutcomeUnknown, PlaitError, Problem, from_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plait.thing.kept.file import StateFile

KEPT: Final = 1024
"""How many of the latest actions are remembered."""

log = logging.getLogger("plait.thing")


class _Ended(msgspec.Struct, omit_defaults=True):
    """How an action ended: its output as plain data, or the problem."""

    output: Any = None
    error: Problem | None = None


class Journal:
    """The journal of one thing's actions.

    Args:
        file: where it is kept.
    """

    def __init__(self, file: StateFile) -> None:
        self._file = file

    async def once(self, key: str, act: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `act` returns, or, where this key was asked before, what it returned then.

        Args:
            key: the request's message id.
            act: does it; its result is plain data.

        Raises:
            OutcomeUnknown: it was begun, and the program ended before it was told how it ended.
            ActionFailed: it cannot be journaled, and so was not begun.
            PlaitError: what `act` raises, or raised then.
        """
        try:
            known = await self._file.do(lambda db: _begin(db, key))
        except sqlite3.Error as error:
            raise ActionFailed(f"it was not begun, since it cannot be journaled: {error}") from error
        if known is not None:
            return _told(known)
        try:
            ended = _Ended(output=await act())
        except PlaitError as error:
            await self._end(key, _Ended(error=error.problem()))
            raise
        await self._end(key, ended)
        return ended.output

    async def _end(self, key: str, ended: _Ended) -> None:
        answer = msgspec.json.encode(ended)
        try:
            await self._file.do(
                lambda db: db.execute("UPDATE actions SET answer = ? WHERE message = ?", (answer, key))
            )
        except sqlite3.Error:
            # It is done, and whoever asked must hear that; asked again after a restart, it is unknown.
            log.exception("an action's end was not journaled")


def _begin(db: sqlite3.Connection, key: str) -> tuple[bytes | None] | None:
    """Return the answer of an action that is there; write a new one down."""
    found: tuple[bytes | None] | None = db.execute(
        "SELECT answer FROM actions WHERE message = ?", (key,)
    ).fetchone()
    if found is None:
        number = db.execute("INSERT INTO actions (message) VALUES (?)", (key,)).lastrowid
        db.execute("DELETE FROM actions WHERE number <= ?", ((number or 0) - KEPT,))
    return found


def _told(known: tuple[bytes | None]) -> Any:
    (answer,) = known
    if answer is None:
        raise OutcomeUnknown("the device was stopped after it had begun, and cannot tell how far it came")
    ended = msgspec.json.decode(answer, type=_Ended)
    if ended.error is not None:
        raise from_problem(ended.error)
    return ended.output
