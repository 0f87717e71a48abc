"""A thing that sleeps: it measures, connects, tells, takes what waits, says until when, and is gone.

asleep ──▶ main() ──▶ connected ──▶ everything told, commands done ──▶ `sleep` answered ──▶ asleep
                         └─ no hub within PATIENCE: the spool keeps it for the next time
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from plait.wire.errors import PlaitError
from plait.wire.messages import SLEEP, Sleep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plait.transport.client import Client

PATIENCE: Final = 15.0
"""Seconds after which a wake in which the hub was not reached, or did not take everything, is given up."""

log = logging.getLogger("plait.thing")


class Awake(Protocol):
    """What a wake has to wait for."""

    async def online(self) -> None:
        """Return when the hub has the thing's description."""

    async def told(self) -> None:
        """Return when everything reported is on its way."""

    async def idle(self) -> None:
        """Return when nothing that was asked is still worked on."""


async def wake_and_sleep(
    main: Callable[[], Awaitable[None]], client: Client, thing: Awake, *, every: float
) -> None:
    """Go on until cancelled.

    Args:
        main: the device's own work at each wake, done before there is a connection.
        client: the thing's, paused.
        thing: what to wait for.
        every: seconds from one wake to the next.

    Raises:
        Exception: whatever `main` raised.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await main()
        due = max(due + every, loop.time())
        client.resume()
        try:
            async with asyncio.timeout(PATIENCE):
                await thing.online()
                await thing.told()
                # By the hub's clock, and answered once all that was told before is kept.
                until = client.hub_time() + timedelta(seconds=due - loop.time())
                await client.request(SLEEP, timeout=PATIENCE, input=msgspec.to_builtins(Sleep(until=until)))
                await thing.idle()
        except (TimeoutError, PlaitError) as error:
            log.info("the hub does not know that this thing sleeps now: %s", str(error) or "no hub in time")
        client.pause()
        await asyncio.sleep(max(0.0, due - loop.time()))
