"""For tests of things and apps, Plait's own and yours: a real hub in the test's own process.

    async with running_hub(tmp_path) as hub:
        lamp = Lamp("urn:dev:lamp")
        async with served(lamp, hub=hub), connected(hub) as home:
            assert await home.thing("Lamp").write("on", True) is True

`HubProcess` is a hub that can be killed, `Cable` a connection to one that can be cut. All this needs the
extra `hub`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

from plait import app
from plait.hub.contracts import Principal
from plait.hub.main import Hub
from plait.hub.settings import Settings
from plait.hub.store.credentials import open_credentials
from plait.thing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from plait.thing import Thing

READY_WITHIN = 20.0
"""Seconds until a thing must be online."""


class AnyHub(Protocol):
    """A hub here or in a process of its own."""

    @property
    def url(self) -> str:
        """Its address."""

    def token(self, thing: str) -> str:
        """Return a fresh token for a thing."""

    def user_token(self) -> str:
        """Return a fresh token of the owner."""


@asynccontextmanager
async def running_hub(folder: Path, **settings: Any) -> AsyncIterator[Hub]:
    """Run a hub on a free port of the loopback.

    Args:
        folder: where it keeps its data.
        settings: see `plait.hub.settings.Settings`.
    """
    given: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "data": folder}
    async with Hub(Settings(**given | settings)) as hub:
        yield hub


@asynccontextmanager
async def served(*things: Thing, hub: AnyHub) -> AsyncIterator[None]:
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
async def connected(hub: AnyHub) -> AsyncIterator[app.Home]:
    """Connect an app as the hub's owner."""
    async with app.connect(hub.url, token=hub.user_token()) as home:
        yield home


class HubProcess:
    """A hub in a process of its own, to be killed and started again on the same port and data.

    `async with HubProcess(tmp_path) as hub: …`

    Args:
        folder: where it keeps its data.

    Attributes:
        port: where it listens.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def token(self, thing: str) -> str:
        """Return a fresh token for a thing."""
        return self._make_token(Principal("thing", thing))

    def user_token(self) -> str:
        """Return a fresh token of the owner."""
        return self._make_token(Principal("user", "owner"))

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            RuntimeError: it ended instead.
        """
        arguments = ("hub", "--port", str(self.port), "--data", str(self._folder))
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "plait", *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None  # noqa: S101 - it was asked for
        async with asyncio.timeout(READY_WITHIN):
            while not (line := await process.stdout.readline()).startswith(b"Log in"):
                if not line:
                    raise RuntimeError(f"the hub ended with {await process.wait()}")
        self._output = asyncio.create_task(process.stdout.read())

    async def kill(self) -> None:
        """End it with SIGKILL: it says goodbye to nobody."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._output is not None:
            await self._output
        self._process = None

    def _make_token(self, principal: Principal) -> str:
        with open_credentials(self._folder) as credentials:
            return credentials.make_token(principal)


class Cable:
    """TCP to a port of this machine that can be cut, and made slow: what a hub's connections run through.

    `async with Cable(hub.port) as cable: …`

    Args:
        port: where it leads, on the loopback.
        pace: bytes a second each way; None for as many as come.

    Attributes:
        port: where it begins.
        refuses: cut new connections at once, too.
    """

    def __init__(self, port: int, *, pace: float | None = None) -> None:
        self.port = 0
        self.refuses = False
        self._to = port
        self._pace = pace
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The hub's address by way of it."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> int:
        """Break every connection without a word to either end; return how many there were."""
        cut, self._writers = self._writers, set()
        for writer in cut:
            writer.transport.abort()
        return len(cut) // 2

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.refuses:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        for one, other in ((reader, far_writer), (far_reader, writer)):
            self._writers.add(other)
            task = asyncio.create_task(self._carry(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._pace is not None:
                    await asyncio.sleep(len(data) / self._pace)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)
