"""For tests of things and apps, Plait's own and yours: a real hub in the test's own process.

    async with running_hub(tmp_path) as hub:
        lamp = Lamp("urn:dev:lamp")
        async with served(lamp, hub=hub), connected(hub) as home:
            assert await home.thing("Lamp").write("on", True) is True

Needs the extra `hub`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from plait import app
from plait.hub.main import Hub
from plait.hub.settings import Settings
from plait.thing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from plait.thing import Thing

READY_WITHIN = 20.0
"""Seconds until a thing must be online."""


@asynccontextmanager
async def running_hub(folder: Path, **settings: Any) -> AsyncIterator[Hub]:
    """Run a hub on a free port of the loopback.

    Args:
        folder: where it keeps its data.
        settings: see `plait.hub.settings.Settings`.
    """
    async with Hub(Settings(**{"host": "127.0.0.1", "port": 0, "data": folder} | settings)) as hub:
        yield hub


@asynccontextmanager
async def served(*things: Thing, hub: Hub) -> AsyncIterator[None]:
    """Serve things; the block begins once all are online.

    Raises:
        Exception: what ended the serving, on entering the block or on leaving it.
    """
    waiting = {thing.id for thing in things}
    online = asyncio.Event()

    def tell(thing: Thing, state: str) -> None:
        if state == "online":
            waiting.discard(thing.id)
            if not waiting:
                online.set()

    tokens = {thing.id: hub.token(thing.id) for thing in things}
    serving = asyncio.create_task(serve(*things, hub=hub.url, token=tokens, on_state=tell))
    ready = asyncio.create_task(online.wait())
    try:
        await asyncio.wait({serving, ready}, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            if not ready.done():
                raise TimeoutError(f"not online within {READY_WITHIN} s: {', '.join(sorted(waiting))}")
            yield
        if serving.done():
            await serving
    finally:
        ready.cancel()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def connected(hub: Hub) -> AsyncIterator[app.Home]:
    """Connect an app as the hub's owner."""
    async with app.connect(hub.url, token=hub.user_token()) as home:
        yield home
