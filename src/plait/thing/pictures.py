"""Still pictures that a thing is asked for, for viewers whom no video reaches (`docs/protocol.md`)."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import TYPE_CHECKING, Any, Final

from plait.wire.errors import ActionFailed, InvalidMessage, PlaitError

if TYPE_CHECKING:
    from plait.thing.clock import Clock
    from plait.thing.thing import Thing
    from plait.wire.messages import Message

RATE: Final = 524_288
"""Bytes a second of pictures that a thing sends, to all of its viewers together."""

log = logging.getLogger("plait.thing")


class Pictures:
    """Answers what asks for one thing's picture.

    Args:
        thing: its `on_picture` makes them.
    """

    def __init__(self, thing: Thing, clock: Clock) -> None:
        self._thing = thing
        self._clock = clock
        self._free_at = 0.0

    async def answer(self, asked: Message) -> dict[str, Any]:
        """Return the members of the response; whatever goes wrong becomes its error."""
        try:
            given = asked.input if isinstance(asked.input, dict) else {}
            width, size = (_count(given, name) for name in ("width", "bytes"))
            await self._turn(size)
            data = await self._take(width, size)
        except PlaitError as error:
            return {"error": error.problem()}
        output = {"type": "image/jpeg", "data": base64.b64encode(data).decode("ascii")}
        return {"output": output, "timestamp": self._clock.now()}

    async def _take(self, width: int, size: int) -> bytes:
        try:
            data = await self._thing.on_picture(width, size)
        except PlaitError:
            raise
        except Exception as error:
            log.exception("%s.on_picture() failed", type(self._thing).__name__)
            raise ActionFailed(str(error) or type(error).__name__) from error
        if len(data) > size:
            raise ActionFailed(f"The picture has {len(data)} bytes, and may have {size}")
        return data

    async def _turn(self, size: int) -> None:
        """Wait until so many bytes fit into `RATE`, as if all that were asked for were sent."""
        now = asyncio.get_running_loop().time()
        begins = max(now, self._free_at)
        self._free_at = begins + size / RATE
        if begins > now:
            await asyncio.sleep(begins - now)


def _count(given: dict[str, Any], name: str) -> int:
    value = given.get(name)
    if not isinstance(value, int) or value < 1:
        raise InvalidMessage(f"A picture is asked for with its largest `{name}`", field=f"/input/{name}")
    return value
