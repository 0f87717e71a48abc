"""The hub's front door: one port for HTTP and WebSocket, with TLS where there is a certificate.

The native door (`native/src/door`) listens, ends TLS and hands over streams; here each becomes HTTP by
uvicorn, and a WebSocket by picows where it asks for one (`doorway`). Why so:
docs/decisions/0001-who-owns-the-door.md.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from uvicorn.config import Config
from uvicorn.server import ServerState

from plait import _native
from plait.hub.doorway import Doorway, Stream
from plait.transport.websocket import PING_AFTER, PONG_WITHIN
from plait.wire.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import HTTPConnection
    from starlette.types import Receive, Scope, Send

    from plait.hub.contracts import Principal
    from plait.hub.doorway import Upgraded
    from plait.transport.websocket import WebSocketTransport

GOING_AWAY: Final = 1001

LAST_WORDS_S: Final = 1.0
"""Seconds that a client behind TLS has to take what was written before its stream was closed, at a stop."""


@dataclass(frozen=True, kw_only=True)
class DoorSettings:
    """How a door stands.

    Attributes:
        host: a name or an address; "" is every address of this machine.
        port: 0 takes a free one.
        certificate: PEM, the chain with the leaf first, and its key; None for a door without TLS.
        max_connections: connections at a time.
        handshake_within: seconds from connecting to the first byte of HTTP, TLS handshake included.
        ping_after, pong_within: seconds of silence on a WebSocket until it is pinged, and until it is cut.
        keep_alive: seconds that a connection without a request stays open.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: tuple[bytes, bytes] | None = None
    max_connections: int = 10_000
    handshake_within: float = 10.0
    ping_after: float = PING_AFTER
    pong_within: float = PONG_WITHIN
    keep_alive: int = 15


class Door:
    """Serves an ASGI application and WebSockets on one port.

    Args:
        app: answers HTTP requests. Its lifespan is the caller's.
        authorize: called with each request for a WebSocket (its headers, cookies, URL, client address), and
            returns who it is. Raises `PlaitError` (`Unauthorized`, `Forbidden`), which is answered as a
            problem. Must not wait.
        opened: called with each WebSocket once it is open, before its first message, to set its callbacks.
        settings: see there.
        plain: answers HTTP requests without TLS where the door has it; by default it sends them to https.
        turn: takes the connections that speak STUN or TURN, with TLS or without.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        authorize: Callable[[HTTPConnection], Principal],
        opened: Callable[[WebSocketTransport, Principal], None],
        settings: DoorSettings,
        plain: Callable[..., Any] | None = None,
        turn: _native.TurnServer | None = None,
    ) -> None:
        self._settings = settings
        self._turn = turn
        self._make = partial(
            Doorway,
            authorize=authorize,
            opened=opened,
            ping_after=settings.ping_after,
            pong_within=settings.pong_within,
        )
        self._config = _config(app, settings)
        self._plain = _config(plain or to_tls, settings)
        self._state = ServerState()
        self._websockets: set[Upgraded] = set()
        self._arriving: set[asyncio.Task[None]] = set()
        self._open = 0  # streams that are not closed
        self._all_closed = asyncio.Event()
        self._native: _native.Door | None = None

    # Life

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is not this machine's.
            ValueError: what was given is not the PEM that it should be, or the key is another certificate's.
        """
        settings = self._settings
        chain, key = settings.certificate or (None, None)
        _allow_descriptors()
        self._native = _native.Door(
            settings.host,
            settings.port,
            cert=chain,
            key=key,
            handshake_timeout=settings.handshake_within,
            max_connections=settings.max_connections,
            turn=self._turn,
        )
        asyncio.get_running_loop().add_reader(self._native.fileno(), self._welcome, self._native)

    async def stop(self, within: float = 5.0) -> None:
        """Take no more connections, say goodbye on the open ones, cut what is left after `within` seconds."""
        native, self._native = self._native, None
        if native is None:
            return
        native.stop_accepting()
        asyncio.get_running_loop().remove_reader(native.fileno())
        self._welcome(native)  # those that came in just before
        if self._arriving:
            await asyncio.wait(self._arriving)
        for websocket in list(self._websockets):
            if websocket.listener is not None:  # None: refused, and about to close
                websocket.listener.close(GOING_AWAY, "the hub is going away")
        for doorway in list(self._state.connections):
            doorway.shutdown()
        try:
            async with asyncio.timeout(within):
                await self._until_closed()
        except TimeoutError:
            self._cut()
            await self._until_closed()
        await asyncio.to_thread(native.close, LAST_WORDS_S)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _until_closed(self) -> None:
        while self._open:
            self._all_closed.clear()
            await self._all_closed.wait()
        while self._state.tasks:
            await asyncio.wait(self._state.tasks)

    def _cut(self) -> None:
        for task in list(self._state.tasks):
            task.cancel()
        for websocket in list(self._websockets):
            websocket.transport.underlying_transport.abort()
        for doorway in list(self._state.connections):
            doorway.transport.abort()

    # What it says of itself

    @property
    def addresses(self) -> Sequence[tuple[str, int]]:
        """Where it listens; empty while it does not."""
        return () if self._native is None else self._native.addresses

    @property
    def port(self) -> int:
        """The port it listens on; 0 while it does not."""
        return next((port for _, port in self.addresses), 0)

    def counters(self) -> dict[str, int]:
        """Return how many connections were `accepted`, `refused`, `expired` (silent) or `tls_failed` so far.

        Of those that are open now: `active` (streams), `websockets`.
        """
        native = {} if self._native is None else self._native.counters()
        return native | {"websockets": len(self._websockets)}

    def reload(self, certificate: bytes, key: bytes) -> None:
        """Take another PEM certificate and key for connections to come.

        Raises:
            ValueError: they are not what they should be; the old ones stay.
        """
        if self._native is not None:
            self._native.reload(certificate, key)

    def show_challenge(self, name: str, certificate: bytes, key: bytes) -> None:
        """Show this certificate to ACME servers that ask for a name by `acme-tls/1` (RFC 8737)."""
        if self._native is not None:
            self._native.show_challenge(name, certificate, key)

    def hide_challenge(self, name: str) -> None:
        """End that."""
        if self._native is not None:
            self._native.hide_challenge(name)

    # Streams

    def _welcome(self, native: _native.Door) -> None:
        """Take the streams that the native door left for us."""
        loop = asyncio.get_running_loop()
        for fd, peer, local, tls in native.accepted():
            self._open += 1
            stream = Stream(fd, peer, local, partial(self._closed, None if tls else native))
            task = loop.create_task(self._arrive(stream, tls=tls))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _arrive(self, stream: Stream, *, tls: bool) -> None:
        make = partial(self._make, self._config)
        if self._settings.certificate is not None and not tls:
            make = partial(self._make, self._plain, authorize=_only_tls)
        make = partial(make, self._state, tls=tls, websockets=self._websockets)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(make, stream)
        except OSError:
            stream.close()  # the client is gone already

    def _closed(self, native: _native.Door | None) -> None:
        """Count a closed stream; the native door sees by itself when one that came through TLS is closed."""
        if native is not None:
            native.released()
        self._open -= 1
        if not self._open:
            self._all_closed.set()


def _allow_descriptors() -> None:
    """Let this process open as many descriptors as it may: a connection takes one, behind TLS three."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _config(app: Callable[..., Any], settings: DoorSettings) -> Config:
    """Return uvicorn's configuration: its parser and its ASGI cycle, none of its server."""
    config = Config(
        app,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # else any client on this machine could claim any address
        server_header=False,
        timeout_keep_alive=settings.keep_alive,
    )
    config.load()
    return config


async def to_tls(scope: Scope, _: Receive, send: Send) -> None:
    """Send who comes without TLS to a door that has it."""
    host = dict(scope["headers"]).get(b"host", b"")
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    location = b"https://" + host + scope["raw_path"] + query
    headers = [(b"location", location), (b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": HTTPStatus.PERMANENT_REDIRECT, "headers": headers})
    await send({"type": "http.response.body"})


def _only_tls(_: object) -> NoReturn:
    raise Forbidden("This hub takes WebSockets over TLS only: wss://")
