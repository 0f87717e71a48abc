"""Asking a thing over a link: reads, writes, actions, and what it tells of its values and events.

Section 4's messages, as texts on the link's channel `~affordances`. The hub is not asked, and may be
away. The device checks and confirms as it does for the hub, and tells the hub of changes, which keeps them.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from plait.link.link import AFFORDANCES
from plait.transport.requests import Requests
from plait.wire import messages
from plait.wire.codec import decode, encode
from plait.wire.errors import OutcomeUnknown, PlaitError, Timeout, from_problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from plait.link.link import Link
    from plait.wire.messages import Message

_log = logging.getLogger("plait.link")


class Asking:
    """Asks a thing over a link.

    Args:
        link: to it.
        clock: the time by the hub's clock, which deadlines are by.

    Attributes:
        on_told: takes each notification of a value or an event.
        on_direct: told when there is a direct path, and when there is none any more.
    """

    def __init__(self, link: Link, clock: Callable[[], datetime]) -> None:
        self.on_told: Callable[[Message], None] | None = None
        self.on_direct: Callable[[bool], None] | None = None
        self._was_direct = False
        self._link = link
        self._clock = clock
        self._requests = Requests()
        self._channel = link.channel(AFFORDANCES, priority=200)
        self._channel.on_message = self._came
        link.on_close = self._lost
        link.on_paths.append(self._paths)

    @property
    def direct(self) -> bool:
        """Whether there is a direct path now: even while the hub carries the link.

        Where the hub fails, the link moves on, and a request that the hub itself was asked does not.
        """
        return self._link.is_open("direct") and not self._link.closed.is_set()

    @property
    def over(self) -> bool:
        """Whether the link has ended."""
        return self._link.closed.is_set()

    async def ask(self, operation: str, timeout: float, **members: Any) -> Message:  # noqa: ASYNC109 - travels as the deadline
        """Return the thing's response; errors as `Client.request`.

        Raises:
            OutcomeUnknown: the link ended before it answered.
            LinkLost, PermissionExpired: it is over already; nothing was asked.
        """
        deadline = self._clock() + timedelta(seconds=timeout)
        request = messages.request(operation, deadline=deadline, **members)
        answer = self._requests.expect(request)
        try:
            self._channel.send_nowait(encode(request, text=True).decode())
            async with asyncio.timeout(timeout):
                response = await answer
        except TimeoutError:
            raise Timeout(f"No answer to {operation} within {timeout} s") from None
        finally:
            answer.cancel()
        if response.error is not UNSET:
            raise from_problem(response.error)
        return response

    def _came(self, text: bytes | str) -> None:
        try:
            message = decode(text.encode() if isinstance(text, str) else text, text=True)
        except PlaitError as error:
            _log.warning("what a thing says over its link cannot be read: %s", error)
            return
        if message.message_type == "response":
            self._requests.resolve(message)
        elif message.message_type == "notification" and self.on_told is not None:
            self.on_told(message)

    def _paths(self) -> None:
        before, self._was_direct = self._was_direct, self.direct
        if self._was_direct != before and self.on_direct is not None:
            self.on_direct(self._was_direct)

    def _lost(self) -> None:
        self._requests.fail(OutcomeUnknown("the link to the thing ended before it answered"))
