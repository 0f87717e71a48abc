"""Requests that wait for their answer, matched by message id. Deadlines are the owner's affair."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import UNSET

if TYPE_CHECKING:
    from collections.abc import Container

    from plait.wire.errors import PlaitError
    from plait.wire.messages import Message


class Requests:
    """The requests that one side has asked of the other and that are not answered yet."""

    __slots__ = ("_asked", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._asked: dict[str, Message] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, request: Message) -> asyncio.Future[Message]:
        """Return a future of the request's response; cancelling it forgets the request."""
        if request.message_id is UNSET:
            raise ValueError("A request has a messageID")
        key = request.message_id
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._forget(key))
        self._waiting[key] = future
        self._asked[key] = request
        return future

    def _forget(self, key: str) -> None:
        self._waiting.pop(key, None)
        self._asked.pop(key, None)

    def resolve(self, response: Message) -> bool:
        """Give a response to whom it answers; return False where nobody waits for it (any more)."""
        if response.correlation_id is UNSET:
            return False
        future = self._waiting.pop(response.correlation_id, None)
        if future is None or future.done():
            return False
        future.set_result(response)
        return True

    def fail(self, error: PlaitError, *, but: Container[object] = ()) -> list[Message]:
        """End all that waits, but the message ids named, with an error; return what was asked."""
        ended = []
        for key in [key for key in self._waiting if key not in but]:
            future = self._waiting.pop(key)
            ended.append(self._asked.pop(key))
            if not future.done():
                future.set_exception(error)
        return ended
