"""WebSocket (RFC 6455) on picows: the same class at the client's end and at the hub's.

Who dials calls `connect`. Who listens gives `accept` the upgrade request and answers picows with what it
returns; from `on_open` on, both ends hold a `WebSocketTransport`. A listener sets `max_frame_size`,
`auto_ping_idle_timeout` and `auto_ping_reply_timeout` from the constants below.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
import picows
from picows import WSListener, WSMsgType

from plait.transport import deflate
from plait.transport.base import TransportClosed
from plait.transport.network import has_address
from plait.wire.errors import Forbidden, Problem, Unauthorized
from plait.wire.messages import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plait.transport.dial import ResumedTLS

MAX_FRAME: Final = 4 << 20
"""Largest message that is read at all, in bytes; a larger one closes the connection with 1009."""

PING_AFTER: Final = 4.5
"""Seconds of silence after which the far end is pinged."""

PONG_WITHIN: Final = 4.5
"""Seconds within which it must answer, or it is gone: 9 s of silence together."""

DIAL_WITHIN: Final = 5.0
"""Seconds that `connect` may take."""

CLOSE_WITHIN: Final = 2.0
"""Seconds within which the far end must answer our close frame before the socket is cut."""

_EXTENSIONS: Final = "Sec-WebSocket-Extensions"

_TEXT_OF: Final = {SUBPROTOCOL_JSON: True, SUBPROTOCOL_MSGPACK: False}

# RFC 6455, section 7.4.1
_OK, _PROTOCOL_ERROR, _WRONG_TYPE, _NO_CODE, _BROKEN, _TOO_BIG = 1000, 1002, 1003, 1005, 1006, 1009


class WebSocketTransport(WSListener):
    """One end of a WebSocket, as `plait.transport.Transport`; also the listener that picows calls.

    Attributes:
        opened: whether the handshake is done; before that nothing but the callbacks may be touched.
        others: see `Transport`.
    """

    __slots__ = (
        *("_closing", "_cut", "_deflates", "_fragments", "_inflates", "_on_open", "_paused", "_type", "_ws"),
        *("authority", "on_close", "on_message", "on_writable", "opened", "peer", "text"),
    )

    def __init__(
        self,
        *,
        text: bool,
        on_open: Callable[[WebSocketTransport], None],
        authority: str = "",
        deflates: bool = False,
    ) -> None:
        """Make one end.

        Args:
            text: what the subprotocol says; a frame of the other kind closes with 1003.
            on_open: called once the handshake is done, to set the callbacks before anything arrives.
            authority: see `Transport`.
            deflates: permessage-deflate is agreed on, as `deflate` has it.
        """
        self.text = text
        self.peer = ""
        self.authority = authority
        self.opened = False
        self.on_message: Callable[[bytes], None] = _ignore
        self.on_close: Callable[[int, str], None] = _ignore
        self.on_writable: Callable[[], None] = _ignore
        self._on_open = on_open
        self._type = WSMsgType.TEXT if text else WSMsgType.BINARY
        self._ws: picows.WSTransport
        self._closing = False  # no message goes out or comes in any more
        self._fragments: bytearray | None = None
        self._deflates = deflates
        self._inflates = False  # the message in fragments is deflated
        self._paused: asyncio.Future[None] | None = None
        self._cut: asyncio.TimerHandle | None = None

    # As a transport

    def send(self, data: bytes) -> None:
        """Queue one message; never wait.

        Raises:
            TransportClosed: it is closed or closing.
        """
        if self._closing or self._ws.is_close_frame_sent:
            raise TransportClosed("The WebSocket is closed")
        if self._deflates and deflate.worth(data):
            self._ws.send(self._type, deflate.deflate(data), rsv1=True)
        else:
            self._ws.send(self._type, data)

    @property
    def buffered(self) -> int:
        """Bytes that are not yet written to the kernel."""
        return self._ws.underlying_transport.get_write_buffer_size()

    def check_address(self) -> None:
        """Break it at once where this machine has lost the address that it was made from."""
        name = self._ws.underlying_transport.get_extra_info("sockname")
        if isinstance(name, tuple) and not has_address(name[0]):
            self.abort()

    async def drain(self) -> None:
        """Wait until writing may go on; return at once where it may, or where the transport is closed."""
        while self._paused is not None:
            await asyncio.shield(self._paused)

    def close(self, code: int = _OK, reason: str = "") -> None:
        """Send a close frame after what is queued; cut the socket if no answer comes in `CLOSE_WITHIN`."""
        if not self._closing:
            self._closing = True
            self._say_close(code, reason)

    def abort(self) -> None:
        """Cut the socket at once; what is queued is lost."""
        self._closing = True
        self._ws.disconnect(graceful=False)

    def _say_close(self, code: int, reason: str) -> None:
        told: Any = code  # picows' enum names only the registered codes; the wire takes any
        self._ws.send_close(told, reason.encode()[:123].decode(errors="ignore"))
        self._cut = asyncio.get_running_loop().call_later(CLOSE_WITHIN, self._ws.disconnect, False)

    # As picows' listener

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """Let the owner set its callbacks."""
        self._ws = transport
        name = transport.underlying_transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or "")
        self.opened = True
        self._on_open(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Sort one frame. Its memory is picows': the payload is copied before anyone keeps it."""
        transport.notify_user_specific_pong_received()  # any frame shows that the far end lives
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self.close(int(frame.get_close_code().value) or _OK)
            transport.disconnect()
        elif self._closing or transport.is_close_frame_sent or kind == WSMsgType.PONG:
            pass  # picows hands over even the frame that it has just refused as too big
        elif (frame.rsv1 and not self._may_inflate(frame)) or frame.rsv2 or frame.rsv3:
            self.close(_PROTOCOL_ERROR, "reserved bits are set")
        elif kind == WSMsgType.CONTINUATION:
            self._continue(frame)
        elif self._fragments is not None:
            self.close(_PROTOCOL_ERROR, "a message inside another")
        elif kind != self._type:
            self.close(_WRONG_TYPE, f"{'text' if self.text else 'binary'} frames only")
        elif frame.fin:
            self._hand_on(frame.get_payload_as_bytes(), inflates=frame.rsv1)
        else:
            self._inflates = frame.rsv1
            self._fragments = bytearray(frame.get_payload_as_memoryview())

    def _continue(self, frame: picows.WSFrame) -> None:
        if self._fragments is None:
            self.close(_PROTOCOL_ERROR, "nothing to continue")
        elif len(self._fragments) + frame.payload_size > MAX_FRAME:
            self._fragments = None
            self.close(_TOO_BIG, f"over {MAX_FRAME} bytes")
        else:
            self._fragments += frame.get_payload_as_memoryview()
            if frame.fin:
                message, self._fragments = bytes(self._fragments), None
                self._hand_on(message, inflates=self._inflates)

    def _may_inflate(self, frame: picows.WSFrame) -> bool:
        return self._deflates and frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY)

    def _hand_on(self, message: bytes, *, inflates: bool) -> None:
        if not inflates:
            self.on_message(message)
            return
        try:
            inflated = deflate.inflate(message, MAX_FRAME)
        except ValueError as error:
            self.close(_PROTOCOL_ERROR, str(error))
            return
        if inflated is None:
            self.close(_TOO_BIG, f"over {MAX_FRAME} bytes")
        else:
            self.on_message(inflated)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """Tell the owner how it ended: by whose close frame, or without one."""
        self._closing = True
        self._fragments = None
        if self._cut is not None:
            self._cut.cancel()
        self.resume_writing()
        said: Any = transport.close_handshake  # None where neither side said a word
        first = said and (said.recv if said.recv_then_sent else said.sent)
        if first is None:
            self.on_close(_BROKEN, "the connection broke")
        else:
            self.on_close(int(first.code) or _NO_CODE, first.reason or "")

    def pause_writing(self) -> None:
        """Note that the kernel takes no more for now."""
        if self._paused is None:
            self._paused = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Note that it does again."""
        if self._paused is not None:
            self._paused.set_result(None)
            self._paused = None
            if not self._closing:
                self.on_writable()


def accept(
    request: picows.WSUpgradeRequest, on_open: Callable[[WebSocketTransport], None]
) -> picows.WSUpgradeResponseWithListener:
    """Answer an upgrade request: switch to the first subprotocol offered that we know, else 400.

    The credential is the caller's to check, before this.
    """
    if "upgrade" in (token.lower() for token in _tokens(request, "Connection")):
        request.headers["Connection"] = "Upgrade"  # picows knows no list; Firefox sends "keep-alive, Upgrade"
    chosen = next((name for name in _tokens(request, "Sec-WebSocket-Protocol") if name in _TEXT_OF), None)
    if chosen is None:
        known = f"Offer one of the subprotocols {', '.join(_TEXT_OF)}".encode()
        refusal = picows.WSUpgradeResponse.create_error_response(HTTPStatus.BAD_REQUEST, known)
        return picows.WSUpgradeResponseWithListener(refusal, None)
    deflates = deflate.offered(",".join(request.headers.getall(_EXTENSIONS, ())))
    agreed = {_EXTENSIONS: deflate.OFFER} if deflates else {}
    response = picows.WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": chosen, **agreed})
    return picows.WSUpgradeResponseWithListener(
        response,
        WebSocketTransport(
            text=_TEXT_OF[chosen],
            on_open=on_open,
            authority=str(request.headers.get("Host", "")),
            deflates=deflates,
        ),
    )


def _tokens(request: picows.WSUpgradeRequest, header: str) -> list[str]:
    """Return the members of a header that is a list (RFC 9110, section 5.6.1)."""
    return [token.strip() for line in request.headers.getall(header, ()) for token in line.split(",")]


async def connect(
    url: str,
    *,
    token: str | None = None,
    cookie: str | None = None,
    ssl: tls.SSLContext | ResumedTLS | None = None,
    subprotocols: Sequence[str] = (SUBPROTOCOL_JSON,),
    deflates: bool = True,
    on_open: Callable[[WebSocketTransport], None] | None = None,
) -> WebSocketTransport:
    """Dial a hub.

    Args:
        url: `ws://` or `wss://`; `endpoint` makes it of a hub's address.
        token: sent as `Authorization: Bearer`.
        cookie: sent as `Cookie`.
        ssl: for wss; by default the system's certificates are trusted.
        subprotocols: in order of preference.
        deflates: offer permessage-deflate, which takes a hundred bytes to agree on.
        on_open: sets the callbacks before the hub's first frame can arrive.

    Raises:
        Unauthorized, Forbidden: the hub refused the credential (401, 403).
        TransportClosed: it refused for another reason, is no hub, or broke off before it answered.
        OSError: it could not be reached; or not in time, or TLS failed (`ssl.SSLError`).
        ValueError: the URL, the token or the cookie cannot be sent.
    """
    headers = {"Sec-WebSocket-Protocol": ", ".join(subprotocols)}
    if deflates:
        headers[_EXTENSIONS] = deflate.OFFER
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if cookie is not None:
        headers["Cookie"] = cookie
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise ValueError("Credentials are printable ASCII")

    def open_listener(_: picows.WSUpgradeRequest, response: picows.WSUpgradeResponse) -> WSListener:
        chosen = response.headers.get("Sec-WebSocket-Protocol")
        if chosen not in subprotocols or chosen not in _TEXT_OF:
            raise TransportClosed(f"{url} speaks no protocol of ours (its answer: {chosen})")
        extensions = response.headers.get(_EXTENSIONS)
        if extensions and not (deflates and deflate.offered(extensions)):
            raise TransportClosed(f"{url} answers with an extension that was not offered: {extensions}")
        return WebSocketTransport(
            text=_TEXT_OF[chosen], on_open=on_open or _ignore, deflates=bool(extensions)
        )

    try:
        async with asyncio.timeout(DIAL_WITHIN):
            ws, listener = await picows.ws_connect(
                open_listener,
                url,
                ssl_context=ssl,  # type: ignore[arg-type]  # asyncio asks it for `wrap_bio` alone
                # Where it is no context, by asyncio's own TLS: the other's takes sessions from nobody.
                use_aiofastnet=ssl is None or isinstance(ssl, tls.SSLContext),
                extra_headers=headers,
                max_frame_size=MAX_FRAME,
                max_redirects=0,  # a redirect must not carry the credential elsewhere
                websocket_handshake_timeout=DIAL_WITHIN,
                enable_auto_ping=True,
                auto_ping_idle_timeout=PING_AFTER,
                auto_ping_reply_timeout=PONG_WITHIN,
            )
    except picows.WSInvalidURL as error:
        raise ValueError(f"Not a WebSocket URL: {url}") from error
    except picows.WSHandshakeError as error:
        raise _refusal(url, error) from error
    except tls.SSLCertVerificationError as error:
        told = (
            f"the certificate of {url} is not trusted here: {error.verify_message.rstrip('.')} "
            "(a hub's own authority is trusted by PLAIT_CA, which `plait hub ca` prints)"
        )
        raise tls.SSLCertVerificationError(error.errno, told) from error
    if not isinstance(listener, WebSocketTransport) or not listener.opened:
        # picows takes a socket that closes before the answer for a handshake that is done.
        raise TransportClosed(f"{url} broke off before the WebSocket was open")
    task = asyncio.ensure_future(ws.wait_disconnected())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # told by on_close already
    return listener


def _refusal(url: str, error: picows.WSHandshakeError) -> Exception:
    status = None if error.response is None else int(error.response.status)
    detail = _detail(error.raw_body or b"")
    if status == HTTPStatus.UNAUTHORIZED:
        return Unauthorized(detail)
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden(detail)
    return TransportClosed(f"{url} refused: {status or error} {detail}".rstrip())


def _detail(body: bytes) -> str:
    """Return what an answer's body says: a problem's detail (RFC 9457), or the first line's worth of text."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (ValueError, RecursionError):
        return body[:200].decode(errors="replace").strip()
    return problem.detail or problem.title


def endpoint(hub: str) -> str:
    """Return the WebSocket URL of a hub's address: `http://host:8080` → `ws://host:8080/ws`."""
    parts = urlsplit(hub)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"Not a hub's address: {hub!r} (for example: http://127.0.0.1:8080)")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") or "/ws", "", ""))


def _ignore(*_: object) -> None:
    """Stand in for a callback that the owner does not need."""
