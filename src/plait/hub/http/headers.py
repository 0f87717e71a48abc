"""What every response says to browsers: run nothing but our own scripts, frame us nowhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FIXED: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=(self)"),
]
_HOST: Final = re.compile(rb"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")


def _policy(host: bytes) -> bytes:
    # 'self' does not cover WebSockets in every browser, so that our own is named.
    sockets = b" ws://%b wss://%b" % (host, host) if _HOST.fullmatch(host) else b""
    return (
        b"default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; "
        b"font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self'"
        + sockets
        + b"; "
        b"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class SecurityHeaders:
    """ASGI middleware that adds them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, with the headers added."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host: bytes = next((value for name, value in scope["headers"] if name == b"host"), b"")
        added: list[Any] = [*_FIXED, (b"content-security-policy", _policy(host))]

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, sent)
