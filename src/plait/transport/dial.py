"""How a client reaches its hub: by WebSocket, and with TLS taken up where it was left."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol

from plait.transport import websocket
from plait.transport.trust import PinnedRoot
from plait.wire.messages import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plait.transport.base import Transport
    from plait.transport.trust import Trust

_SUBPROTOCOLS: Final = {True: (SUBPROTOCOL_JSON,), False: (SUBPROTOCOL_MSGPACK,)}


class Dial(Protocol):
    """Opens a transport; calls `on_open` with it before its first message can arrive."""

    def __call__(self, on_open: Callable[[Transport], None]) -> Awaitable[object]:
        """Return when it is open; raise OSError, Unauthorized or Forbidden."""


class ByWebSocket:
    """Dials a hub.

    Args:
        url: its WebSocket's address.
        token, cookie: what it lets us in by.
        trust: whom to trust for wss; None for the system's authorities.
        text: JSON, or else MessagePack.
        brief: connections come often and last a moment: TLS sessions are resumed (RFC 8446, section 2.2),
            which spares the certificates, and no compression is agreed on.
    """

    def __init__(
        self, url: str, token: str | None, cookie: str | None, trust: Trust | None, *, text: bool, brief: bool
    ) -> None:
        self._url = url
        self._token = token
        self._cookie = cookie
        self._trust = trust
        self._text = text
        self._brief = brief
        self._resumed: ResumedTLS | None = None

    async def __call__(self, on_open: Callable[[Transport], None]) -> object:
        """Open a connection; see `Dial`."""
        trust = self._trust
        context = await trust.context(self._url) if isinstance(trust, PinnedRoot) else trust
        if self._brief and self._url.startswith("wss:") and self._resumed is None:
            self._resumed = ResumedTLS(context or ssl.create_default_context())
        return await websocket.connect(
            self._url,
            token=self._token,
            cookie=self._cookie,
            ssl=self._resumed or context,
            subprotocols=_SUBPROTOCOLS[self._text],
            deflates=not self._brief,
            on_open=on_open,
        )


class ResumedTLS:
    """Stands for a context at asyncio's own TLS, and has each connection take up the session of the last one.

    The ticket says that this server has shown its certificate before; it holds for the hours that the server
    gives it. A server that does not know it makes a whole handshake.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._last: ssl.SSLObject | None = None
        self._session: ssl.SSLSession | None = None

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **named: Any) -> ssl.SSLObject:
        """Begin a connection, as `ssl.SSLContext.wrap_bio`."""
        if self._last is not None and (last := self._last.session) is not None and last.has_ticket:
            self._session = last
        self._last = self._context.wrap_bio(incoming, outgoing, session=self._session, **named)
        return self._last
