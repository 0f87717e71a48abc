"""Takes a request to the room that answers it, and brings back the response or the problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from msgspec import UNSET

from plait.hub.contracts import NotKept
from plait.hub.reply import start
from plait.wire.errors import Busy, InvalidMessage, PlaitError, UnknownOperation
from plait.wire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plait.hub.client import LiveClient
    from plait.hub.contracts import Answer, Caller, Operation, Room
    from plait.hub.reply import Reply

_log = structlog.get_logger("plait.hub")


class Dispatch:
    """The rooms' tables of operations, put together.

    Args:
        rooms: no two may answer the same.
    """

    def __init__(self, rooms: Iterable[Room]) -> None:
        self._table: dict[tuple[str, str], Operation] = {}
        for room in rooms:
            for operation in room.operations:
                key = (operation.type, operation.name)
                if key in self._table:
                    raise ValueError(f"two rooms answer {key}")
                self._table[key] = operation

    def take(self, client: LiveClient, message: Message) -> None:
        """Handle a new message of a session: it is answered, and settled, now or later."""
        try:
            operation = self._find(client, message)
            answer = operation.handle(client, message)
        except PlaitError as error:
            client.complain(message, error)
            client.settled(message)
            return
        except Exception:  # noqa: BLE001 - a bug in a room ends one request, nothing else
            _log.exception("operation failed", operation=message.operation)
            client.complain(message, PlaitError("the hub failed"))
            client.settled(message)
            return
        if not operation.durable:
            client.settled(message)  # first, so that the answer carries the acknowledgement
        if isinstance(answer, Message):
            client.respond(answer)
        elif answer is not None:
            client.working += 1
            start(answer).then(lambda reply: self._finish(client, message, reply, durable=operation.durable))

    def _finish(self, client: LiveClient, message: Message, reply: Reply[Answer], *, durable: bool) -> None:
        client.working -= 1
        try:
            response = reply.result()
        except NotKept as error:
            client.unkept(message, error)
            return
        except PlaitError as error:
            client.complain(message, error)
        except Exception:  # noqa: BLE001 - a bug in a room ends one request, nothing else
            _log.exception("operation failed", operation=message.operation)
            client.complain(message, PlaitError("the hub failed"))
        else:
            if response is not None:
                client.respond(response)
        if durable:
            client.settled(message)

    async def ask(self, caller: Caller, message: Message) -> Message:
        """Handle a request that needs no session; return its response. Raises `PlaitError`."""
        operation = self._find(caller, message)
        if operation.session:
            raise UnknownOperation("this operation needs a WebSocket", field="/operation")
        answer = operation.handle(caller, message)
        response = answer if answer is None or isinstance(answer, Message) else await start(answer).future()
        if response is None:
            raise UnknownOperation("this operation has no response", field="/operation")
        return response

    def _find(self, caller: Caller, message: Message) -> Operation:
        if caller.crowded:
            raise Busy("too many requests are being worked on")
        operation = self._table.get((message.message_type, message.operation))
        if operation is None:
            raise UnknownOperation(f"no {message.message_type} {message.operation!r:.80}", field="/operation")
        if message.message_type == "request" and message.message_id is UNSET:
            raise InvalidMessage("a request has a messageID", field="/messageID")
        if caller.principal.kind == "thing":
            if message.thing_id is UNSET:
                message.thing_id = caller.principal.id
        elif operation.things:
            raise UnknownOperation("only a thing says this", field="/operation")
        return operation
