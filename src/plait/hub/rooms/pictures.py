"""Still pictures through the hub, for viewers whom no video reaches: one is asked for, one comes.

A viewer asks again when it has the last one, so a slow one holds one picture here, and nobody waits for it.
The hub keeps none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.hub.contracts import PATIENCE, Operation, Quiet
from plait.wire.errors import Busy, Forbidden, InvalidMessage, MessageTooLarge
from plait.wire.messages import READ_PICTURE, now, response

if TYPE_CHECKING:
    from plait.hub.contracts import Access, Client, Clients, Later, Things
    from plait.wire.messages import Message

LARGEST: Final = 131_072
"""Bytes of a picture."""

_WIDEST: Final = 4_096
_AT_ONCE: Final = 4
"""Pictures that one session waits for."""
_RATE: Final = 10.0
"""Pictures a second that one session may ask for, on average."""
_BURST: Final = 20.0


@dataclass(slots=True)
class _Asker:
    waiting: int = 0
    left: float = _BURST
    at: float = 0.0

    def take(self) -> None:
        """Count one more picture, or raise `Busy`."""
        moment = time.monotonic()
        self.left = min(_BURST, self.left + (moment - self.at) * _RATE)
        self.at = moment
        if self.waiting >= _AT_ONCE:
            raise Busy(f"{_AT_ONCE} pictures are awaited already")
        if self.left < 1:
            raise Busy(f"more than {_RATE:.0f} pictures a second")
        self.left -= 1
        self.waiting += 1


class Pictures(Quiet):
    """The room of pictures.

    Args:
        things, access, clients: see `hub/contracts`.
    """

    def __init__(self, things: Things, *, access: Access, clients: Clients) -> None:
        self._things = things
        self._access = access
        self._clients = clients
        self._askers: dict[str, _Asker] = {}
        self.operations = (Operation("request", READ_PICTURE, self._read, session=True),)

    def _read(self, client: Client, message: Message) -> Later:
        thing_id = "" if message.thing_id is UNSET else message.thing_id
        self._access.check(client.principal, thing_id, "watch")
        record = self._things.get(thing_id)
        thing = self._clients.thing(record.id)
        if thing is client:
            raise Forbidden("a thing does not look at itself", field="/thingID")
        asked = message.input if isinstance(message.input, dict) else {}
        given = {name: _count(asked, name, most) for name, most in (("width", _WIDEST), ("bytes", LARGEST))}
        asker = self._askers.setdefault(client.id, _Asker())
        asker.take()
        return self._ask(message, asker, thing, given)

    async def _ask(self, message: Message, asker: _Asker, thing: Client, given: dict[str, int]) -> Message:
        deadline = now() + PATIENCE if message.deadline is UNSET else message.deadline
        try:
            question = thing.question(READ_PICTURE, thing_id=message.thing_id, input=given)
            answer = await thing.ask(question, deadline)
        finally:
            asker.waiting -= 1
        output: Any = answer.output
        if isinstance(output, dict) and len(str(output.get("data", ""))) > (LARGEST + 2) // 3 * 4:
            raise MessageTooLarge(f"the thing's picture has more than {LARGEST} bytes")
        return response(message, output=output, timestamp=answer.timestamp)

    def ended(self, client: Client) -> None:
        """Forget how much a session asked for."""
        self._askers.pop(client.id, None)


def _count(asked: dict[str, Any], name: str, most: int) -> int:
    value = asked.get(name, most)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidMessage(f"`{name}` is a whole number from 1 on", field=f"/input/{name}")
    return min(value, most)
