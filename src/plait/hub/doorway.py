"""One stream from the door: HTTP first, by uvicorn, then perhaps a WebSocket, by picows.

Both of uvicorn's and picows' unusual seams are here and nowhere else:

- picows has no public way to take over a connection whose request somebody else has read. `_upgraded` calls
  the constructor of its protocol object by position, as `ws_create_server` of the pinned version 2.3.1 does.
- uvicorn's protocol class is made by its own server only. `Doorway` makes it for streams accepted elsewhere,
  adds the limits that uvicorn lacks (a head without end, a body or reader that stalls), and takes upgrades.
"""

from __future__ import annotations

import logging
import socket
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httptools
import msgspec
from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined] # not public: see above
from starlette.requests import HTTPConnection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from plait.transport.websocket import MAX_FRAME, PING_AFTER, PONG_WITHIN, accept
from plait.wire.errors import PlaitError, Problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from plait.hub.contracts import Principal
    from plait.transport.websocket import WebSocketTransport

    Address = tuple[str, int]

WEBSOCKET_PATH: Final = "/ws"

MAX_HEAD: Final = 32 << 10
"""Largest request line and headers together, in bytes."""

HEAD_WITHIN: Final = 10.0
"""Seconds that a request's head may take from its first byte to its last."""

STALLED_AFTER: Final = 60.0
"""Seconds for `LEAST` bytes of a request's body, or for the client to take some of a response."""

LEAST: Final = 1024
"""Bytes of a request's body, or what is left of it: a byte now and then does not hold a connection."""

# RFC 6455, section 4.1: all that the handshake needs. The rest (a cookie of some KiB) would stay in memory.
_HANDSHAKE: Final = frozenset(
    (
        b"host",
        b"upgrade",
        b"connection",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
    )
)

_log = logging.getLogger("plait.hub.door")
# An adapter, since picows makes (and keeps) a child of a plain logger for each connection. What it tells of
# each connection at INFO, the hub tells better.
_picows_log = logging.LoggerAdapter(logging.getLogger("plait.hub.websocket"))
_picows_log.setLevel(logging.WARNING)


class Stream(socket.socket):
    """A descriptor that the native door handed over; it may be our end of a socket pair, and hides that."""

    def __init__(self, fd: int, peer: Address, local: Address, closed: Callable[[], None]) -> None:
        """Take a descriptor.

        Args:
            fd: ours from here on.
            peer: the client's address.
            local: the address that it called.
            closed: called once, when the descriptor is closed.
        """
        super().__init__(fileno=fd)
        self.setblocking(False)
        self._peer, self._local = peer, local
        self._closed_once: Callable[[], None] | None = closed

    def getpeername(self) -> Address:
        """Return the client's address."""
        return self._peer

    def getsockname(self) -> Address:
        """Return the address that the client called."""
        return self._local

    def setsockopt(self, level: int, *option: Any) -> None:
        """Set an option; those of TCP are the native door's where it ends TLS."""
        if level != socket.IPPROTO_TCP or self.family != socket.AF_UNIX:
            super().setsockopt(level, *option)

    def getsockopt(self, level: int, *option: Any) -> Any:
        """Read an option; see `setsockopt`."""
        if level != socket.IPPROTO_TCP or self.family != socket.AF_UNIX:
            return super().getsockopt(level, *option)
        return 0

    def close(self) -> None:
        """Close the descriptor, and say so."""
        super().close()
        if self._closed_once is not None:
            self._closed_once()
            self._closed_once = None


class Upgraded(WSProtocol):  # type: ignore[misc] # its base has no types
    """picows' protocol object for one WebSocket; leaves the register of those that are open by itself."""

    __slots__ = ("register",)

    register: set[Upgraded]

    def connection_lost(self, exc: Exception | None) -> None:
        """Let picows tell the listener, then leave the register."""
        super().connection_lost(exc)
        self.register.discard(self)


def _upgraded(listener: Callable[[Any], Any], *, ping_after: float, pong_within: float) -> Upgraded:
    """Make picows' protocol object as `ws_create_server` of 2.3.1 does (see the head of this file)."""
    return Upgraded(
        None,  # host and port: a client's
        None,  # path: a client's
        False,  # is_client_side
        listener,
        _picows_log,
        True,  # disconnect_on_exception
        None,  # websocket_handshake_timeout: the whole request is there already
        True,  # enable_auto_ping
        ping_after,
        pong_within,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        True,  # enable_auto_pong
        MAX_FRAME,
        None,  # extra_headers: a client's
        2048,  # read_buffer_init_size: the least that picows takes; it grows by itself
    )


class Doorway(HttpToolsProtocol):
    """uvicorn's HTTP on one stream of the door, and the way on to picows.

    Args:
        config, state: uvicorn's.
        tls: whether the client came through TLS, which the native door has ended.
        authorize: told who asks for a WebSocket; raises `PlaitError` to refuse.
        opened: given each WebSocket once it is open, to set its callbacks.
        websockets: the register of those that are open.
        ping_after, pong_within: seconds; see `plait.transport.websocket`.
    """

    def __init__(
        self,
        config: Config,
        state: ServerState,
        *,
        tls: bool,
        authorize: Callable[[HTTPConnection], Principal],
        opened: Callable[[WebSocketTransport, Principal], None],
        websockets: set[Upgraded],
        ping_after: float = PING_AFTER,
        pong_within: float = PONG_WITHIN,
    ) -> None:
        super().__init__(config, state, {})
        self.access_log = False
        self._tls = tls
        self._authorize = authorize
        self._opened = opened
        self._websockets = websockets
        self._ping_after, self._pong_within = ping_after, pong_within
        self._watch: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._head = 0  # bytes of the head that is being read
        self._body = 0  # of its body, since it was given more time
        self._reading: bool | None = True  # True: a head, False: a body, None: neither

    # Streams and their time limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Begin with the first request's head."""
        super().connection_made(transport)
        self.scheme = "https" if self._tls else "http"
        self._expect(HEAD_WITHIN)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timers."""
        super().connection_lost(exc)
        self._expect(None)
        self._limit_stall(waiting=False)

    def data_received(self, data: bytes) -> None:
        """Parse; the end of a head may be the beginning of a WebSocket."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "This is not a request of HTTP/1.1")
        else:
            if self._reading:
                self._head += len(data)
                if self._head > MAX_HEAD:
                    self._refuse(
                        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"A head has at most {MAX_HEAD} bytes"
                    )
            elif self._reading is False:
                self._body += len(data)
                if self._body >= LEAST:
                    self._body = 0
                    self._expect(STALLED_AFTER)

    def on_message_begin(self) -> None:
        """Begin a head, with the time that it may take."""
        super().on_message_begin()
        if self._reading is None:
            self._head, self._reading = 0, True
            self._expect(HEAD_WITHIN)

    def on_headers_complete(self) -> None:
        """Begin a body."""
        self._reading, self._body = False, 0
        self._expect(STALLED_AFTER)
        # The Date of RFC 9110, section 6.6.1, is made for each request instead of by a timer each second.
        self.server_state.default_headers = [(b"date", _date()), *self.config.encoded_headers]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request; nothing more is due from the client."""
        self._reading = None
        self._expect(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Give the client its time to take what is written."""
        super().pause_writing()
        self._limit_stall(waiting=True)

    def resume_writing(self) -> None:
        """Note that it does."""
        super().resume_writing()
        self._limit_stall(waiting=self._has_last_words())

    def on_response_complete(self) -> None:
        """Where the connection ends with this response, give the client its time to take it."""
        super().on_response_complete()
        self._limit_stall(waiting=self.flow.write_paused or self._has_last_words())

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without requests, though it may not have taken its last response."""
        super().timeout_keep_alive_handler()
        self._limit_stall(waiting=self._has_last_words())

    def _has_last_words(self) -> bool:
        # asyncio closes a transport only once all is written, and a client that has stopped never takes it.
        return self.transport.is_closing() and self.transport.get_write_buffer_size() > 0

    def _limit_stall(self, *, waiting: bool) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._stall = self.loop.call_later(STALLED_AFTER, self.transport.abort) if waiting else None

    def _expect(self, within: float | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = None if within is None else self.loop.call_later(within, self._overdue)

    def _overdue(self) -> None:
        if self.flow.read_paused:
            self._expect(STALLED_AFTER)  # it is we who do not read
        else:
            self.transport.abort()

    # Upgrades

    def _should_upgrade(self) -> bool:
        return self._get_upgrade() == b"websocket"

    def _upgrade(self, rest: bytes) -> None:
        """Answer a request for a WebSocket; `rest` is what came after it."""
        self._expect(None)
        unanswered = self.cycle and not self.cycle.response_complete  # type: ignore[truthy-bool] # None at first
        if unanswered:
            self._refuse(HTTPStatus.BAD_REQUEST, "An earlier request on this connection is not answered yet")
            return
        url = self.url.partition(b"?")
        path = url[0].decode("ascii", "replace")
        if path != WEBSOCKET_PATH:
            self._refuse(HTTPStatus.NOT_FOUND, f"The WebSocket of this hub is at {WEBSOCKET_PATH}")
            return
        scope = {**self.scope, "path": path, "raw_path": url[0], "query_string": url[2]}
        try:
            principal = self._authorize(HTTPConnection(scope))
        except PlaitError as error:
            self._answer(error.problem())
            return
        except Exception:  # noqa: BLE001 - the client gets an answer whatever went wrong
            _log.exception("the check of a credential failed")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "")
            return
        self._switch(principal, rest)

    def _switch(self, principal: Principal, rest: bytes) -> None:
        opened = self._opened
        protocol = _upgraded(
            lambda request: accept(request, lambda transport: opened(transport, principal)),
            ping_after=self._ping_after,
            pong_within=self._pong_within,
        )
        protocol.register = self._websockets
        protocol.register.add(protocol)
        head = [b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), WEBSOCKET_PATH.encode())]
        head += [b"%b: %b\r\n" % header for header in self.headers if header[0] in _HANDSHAKE]
        self.connections.discard(self)
        self.parser = None  # type: ignore[assignment] # breaks the circle, so that all this goes now
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        _feed(protocol, b"".join((*head, b"\r\n", rest)))

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._answer(Problem(type="about:blank", title=status.phrase, status=status, detail=detail))

    def _answer(self, problem: Problem) -> None:
        """Send a problem (RFC 9457) and close."""
        body = msgspec.json.encode(problem)
        status = HTTPStatus(problem.status)
        head = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: application/problem+json",
            f"content-length: {len(body)}",
            f"date: {_date().decode()}",
            "connection: close",
        ]
        if status == HTTPStatus.UNAUTHORIZED:
            head.append("www-authenticate: Bearer")  # RFC 9110, section 15.5.2
        self._expect(None)
        self.transport.write("\r\n".join((*head, "", "")).encode() + body)
        self.transport.close()
        self._limit_stall(waiting=self._has_last_words())


def _feed(protocol: Upgraded, data: bytes) -> None:
    """Give a buffered protocol what was read before it took over."""
    rest = memoryview(data)
    while rest:
        buffer = protocol.get_buffer(-1)
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        rest = rest[count:]
        protocol.buffer_updated(count)


def _date() -> bytes:
    return formatdate(time.time(), usegmt=True).encode()
