"""What a thing is asked over a link, and what it tells there: section 4's messages, without the hub.

An app may read, write, and run actions that are safe or idempotent: of others the hub's journal must say that
they were done once. A paired thing may what its permission covers, actions of every kind among it: of these
the device's own journal says it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.link.link import AFFORDANCES
from plait.thing.state import state_of
from plait.wire import messages
from plait.wire.codec import decode, encode
from plait.wire.errors import Busy, Forbidden, LinkLost, PlaitError, UnknownOperation

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.link.link import Link
    from plait.thing.answers import Answers
    from plait.thing.thing import Thing
    from plait.wire.grant import Grant
    from plait.wire.messages import Message

AT_ONCE: Final = 64
"""Writes and actions over links, and links, that are worked on at a time."""

log = logging.getLogger("plait.thing")


class OverLink:
    """One link's requests and notifications.

    Args:
        thing: whose affordances they are of.
        link: on which they come.
        answers: answers as for the hub.
        grant: of a paired thing's link: what it may now; raises where that is over. None for an app's.
        tasks: where what is worked on is kept; it goes on when the link ends, as with the hub.
    """

    def __init__(
        self,
        thing: Thing,
        link: Link,
        answers: Answers,
        *,
        grant: Callable[[], Grant] | None,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._thing = thing
        self._link = link
        self._answers = answers
        self._state = state = state_of(thing)
        self._grant = grant
        self._observed = self._subscribed = False
        self._tasks = tasks
        self._channel = link.channel(AFFORDANCES, priority=200)
        self._channel.on_message = self._came
        self._forget = state.listen(self._report)

    def close(self) -> None:
        """Tell no more."""
        self._forget()

    def _came(self, text: bytes | str) -> None:
        try:
            request = decode(text.encode() if isinstance(text, str) else text, text=True)
        except PlaitError as error:
            log.warning("%s: a request over a link cannot be read: %s", self._thing.title, error)
            return
        if request.message_type != "request":
            return
        try:
            self._allow(request)
            members = self._at_once(request)
        except PlaitError as error:
            members = {"error": error.problem()}
        if members is not None:
            self._respond(request, members)
            return
        task = asyncio.create_task(self._work(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _allow(self, request: Message) -> None:
        if self._grant is not None:
            self._grant().allow(request.operation, request.name)
        elif request.operation == messages.INVOKE_ACTION:
            action = self._thing.definition.actions.get(str(request.name))
            if action is not None and not (action.terms.safe or action.terms.idempotent):
                raise Forbidden(
                    f"`{action.name}` goes through the hub, whose journal says that it was done once",
                    field="/name",
                )

    def _at_once(self, request: Message) -> dict[str, Any] | None:
        """Return the response's members; None where it takes a while."""
        match request.operation:
            case messages.READ_PROPERTY:
                return self._answers.read(request)
            case messages.READ_ALL_PROPERTIES:
                return {"value": self._values()}
            case messages.OBSERVE_ALL_PROPERTIES:
                self._observed = True
                return {"value": self._values()}
            case messages.UNOBSERVE_ALL_PROPERTIES:
                self._observed = False
            case messages.SUBSCRIBE_ALL_EVENTS:
                self._subscribed = True
                # What was reported up to here goes by the hub alone, and should be heard first.
                return {"output": {}, "timestamp": self._state.last}
            case messages.UNSUBSCRIBE_ALL_EVENTS:
                self._subscribed = False
            case messages.DESCRIBE_THING:
                return {"output": self._thing.describe()}
            case messages.WRITE_PROPERTY | messages.INVOKE_ACTION:
                if len(self._tasks) >= AT_ONCE:
                    raise Busy(f"{self._thing.title} works on {AT_ONCE} requests over links already")
                return None
            case operation:
                raise UnknownOperation(f"A link does not carry `{operation}`", field="/operation")
        return {"output": {}}

    async def _work(self, request: Message) -> None:
        # The far end chooses its ids for itself alone: they must not meet those of others.
        key = f"{self._link.peer or self._link.id} {request.message_id}"
        members = await self._answers.answer(msgspec.structs.replace(request, message_id=key))
        self._respond(request, members)

    def _values(self) -> dict[str, Any]:
        return {
            name: {"value": reading.data, "timestamp": reading.timestamp}
            for name in self._thing.definition.properties
            if self._covers(name) and (reading := self._state.reading(name)) is not None
        }

    def _covers(self, name: str) -> bool:
        return self._grant is None or self._grant().covers(name)

    def _report(self, operation: str, **members: Any) -> None:
        """Tell the far end of a value or an event as well."""
        wanted = self._observed if operation == messages.OBSERVE_PROPERTY else self._subscribed
        if not wanted or self._link.closed.is_set():
            return
        try:
            if not self._covers(str(members["name"])):
                return
            told = messages.notification(operation, thing_id=self._thing.id, **members)
            self._channel.send_nowait(encode(told, text=True).decode())
        except Busy:
            self._link.close(LinkLost("the far end does not take what it is told"))
        except PlaitError as error:
            log.debug("%s: a report does not go over a link: %s", self._thing.title, error)

    def _respond(self, request: Message, members: dict[str, Any]) -> None:
        with suppress(PlaitError):  # the link is over, or the far end does not read: it hears no answer
            response = messages.response(request, **members)
            self._channel.send_nowait(encode(response, text=True).decode())
