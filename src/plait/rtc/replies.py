"""What was asked of the engine and is not answered yet, by number: of a connection, or of a forwarder."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from plait.rtc.errors import NegotiationError


class Replies:
    """Futures of the engine's answers."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)

    def expect(self) -> tuple[int, asyncio.Future[Any]]:
        """Return a number to ask under, and the future of its answer."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        return number, future

    def take(self, number: int, answer: Any, error: str | None) -> None:
        """Take an answer of the engine; nobody may wait for it any more."""
        future = self._waiting.pop(number, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(NegotiationError(error))

    def fail(self, error: Exception) -> None:
        """End all that waits."""
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(error)
