"""Reads and writes of a thing's properties over an open link, once that is direct: the hub is not asked.

The device checks and confirms as it does for the hub, and tells the hub of the change, which keeps it.
Actions still go through the hub, whose journal says that they were done once.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.link.link import AFFORDANCES
from plait.transport.requests import Requests
from plait.wire import messages
from plait.wire.codec import decode, encode
from plait.wire.errors import OutcomeUnknown, PlaitError, Timeout, from_problem

if TYPE_CHECKING:
    from plait.link.link import Link
    from plait.transport.client import Client
    from plait.wire.messages import Message

TAKEN: Final = frozenset({messages.READ_PROPERTY, messages.WRITE_PROPERTY})

_log = logging.getLogger("plait.app")


class Shortcut:
    """Asks a thing over a link.

    Args:
        link: to it.
        client: the session with the hub, whose clock the deadlines are by.
    """

    def __init__(self, link: Link, client: Client) -> None:
        self._link = link
        self._client = client
        self._requests = Requests()
        self._channel = link.channel(AFFORDANCES, priority=200)
        self._channel.on_message = self._answered
        link.on_close = self._lost

    def takes(self, operation: str) -> bool:
        """Return whether it is for this way, now."""
        # Even while the hub carries the link: where that fails, the link moves on, and a request does not.
        return operation in TAKEN and self._link.is_open("direct") and not self._link.closed.is_set()

    async def ask(self, operation: str, timeout: float, **members: Any) -> Message:  # noqa: ASYNC109 - travels as the deadline
        """Return the thing's response; errors as `Client.request`."""
        deadline = self._client.hub_time() + timedelta(seconds=timeout)
        request = messages.request(operation, deadline=deadline, **members)
        answer = self._requests.expect(request)
        self._channel.send_nowait(encode(request, text=True).decode())
        try:
            async with asyncio.timeout(timeout):
                response = await answer
        except TimeoutError:
            raise Timeout(f"No answer to {operation} within {timeout} s") from None
        finally:
            answer.cancel()
        if response.error is not UNSET:
            raise from_problem(response.error)
        return response

    def _answered(self, text: bytes | str) -> None:
        try:
            self._requests.resolve(decode(text.encode() if isinstance(text, str) else text, text=True))
        except PlaitError as error:
            _log.warning("a thing's answer over its link cannot be read: %s", error)

    def _lost(self) -> None:
        self._requests.fail(OutcomeUnknown("the link to the thing ended before it answered"))
