"""Still pictures of a thing through the hub, one after another, as fast as the way allows."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Final

from plait.transport.reconnect import Backoff
from plait.wire import messages
from plait.wire.errors import InvalidMessage, PlaitError, Timeout
from plait.wire.pace import LARGEST, WIDTH, Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plait.transport.client import Client

PATIENCE: Final = 10.0
"""Seconds that a picture has to come."""

FINAL: Final = frozenset(
    {"unauthorized", "forbidden", "unknown-thing", "unknown-operation", "invalid-message"}
)
"""Problems that do not pass by themselves."""


async def picture(
    client: Client, thing_id: str, *, width: int = WIDTH, size: int = LARGEST, patience: float = PATIENCE
) -> bytes:
    """Ask for one picture; return its JPEG.

    Args:
        client: the session with the hub.
        thing_id: whose picture.
        width: pixels across at most.
        size: bytes at most.
        patience: seconds that it has to come.

    Raises:
        UnknownOperation: the thing sends none.
        ActionFailed: it has none now.
        Forbidden: the user may not see it.
    """
    asked = {"width": width, "bytes": size}
    answer = await client.request(messages.READ_PICTURE, timeout=patience, thing_id=thing_id, input=asked)
    try:
        return base64.b64decode(answer.output["data"], validate=True)
    except (TypeError, KeyError, binascii.Error):
        raise InvalidMessage("A picture holds its `data` in base64", field="/output/data") from None


async def pictures(client: Client, thing_id: str) -> AsyncIterator[bytes]:
    """Yield one picture after another, each asked for when the last has come; see `plait.wire.pace`.

    Over what passes by itself (the thing or the hub is away) it goes on.

    Raises:
        PlaitError: what does not pass: the thing sends no pictures, the user may not see them.
    """
    pace, backoff = Pace(), Backoff()
    clock = asyncio.get_running_loop().time
    while True:
        asked = clock()
        try:
            data = await picture(client, thing_id, size=pace.size)
        except PlaitError as error:
            if error.code in FINAL:
                raise
            if isinstance(error, Timeout):
                pace.came(0, PATIENCE)
            await asyncio.sleep(max(0.5, backoff.wait()))
            continue
        backoff.reset()
        pace.came(len(data), clock() - asked)
        yield data
        await asyncio.sleep(pace.wait())
