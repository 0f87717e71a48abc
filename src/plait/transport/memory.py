"""Two transports joined in memory, which can be slow and can break: for tests, ours and yours.

A transport is reliable and ordered until it breaks; so is this one. What is on its way when it breaks is
lost, in both directions, and neither end can tell how much: just what a session has to make good.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from plait.transport.base import TransportClosed

if TYPE_CHECKING:
    from collections.abc import Callable

BROKEN: Final = 1006
"""The close code of a connection that broke without a word (RFC 6455, section 7.4.1)."""


class MemoryTransport:
    """One end of a pair, as `plait.transport.Transport`. Made by `pair`.

    Attributes:
        far: the other end.
        closed: nothing can be sent any more.
    """

    def __init__(self, *, text: bool, delay: float, break_after: int | None, peer: str) -> None:
        self.text = text
        self.peer = peer
        self.authority = ""
        self.on_message: Callable[[bytes], None] = _ignore
        self.on_close: Callable[[int, str], None] = _ignore
        self.on_writable: Callable[[], None] = _ignore
        self.far: MemoryTransport
        self.closed = False
        self._delay = delay
        self._left = break_after
        self._ended = False
        self._buffered = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def send(self, data: bytes) -> None:
        """Put one message on its way.

        Raises:
            TransportClosed: it is closed or broken.
        """
        if self.closed:
            raise TransportClosed("The transport is closed")
        self._buffered += len(data)
        self._empty.clear()
        asyncio.get_running_loop().call_later(self._delay, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        if self._ended:
            return
        self._buffered -= len(data)
        if not self.far.closed:
            self.far.on_message(data)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.sever()
                return
        if not self._buffered:
            self._empty.set()
            self.on_writable()

    @property
    def buffered(self) -> int:
        """Bytes on their way."""
        return self._buffered

    def check_address(self) -> None:
        """Do nothing: it has no address."""

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        await self._empty.wait()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close both ends, once what is on its way has arrived."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_later(self._delay, self._end_both, code, reason)

    def sever(self) -> None:
        """Break the connection now, as a pulled plug does."""
        self._end_both(BROKEN, "the connection broke")

    def _end_both(self, code: int, reason: str) -> None:
        self.end(code, reason)
        self.far.end(code, reason)

    def end(self, code: int, reason: str) -> None:
        """End this end; `on_close` follows."""
        if not self._ended:
            self._ended = self.closed = True
            self._empty.set()
            asyncio.get_running_loop().call_soon(self.on_close, code, reason)


def pair(
    *, text: bool = True, delay: float = 0.0, break_after: int | None = None
) -> tuple[MemoryTransport, MemoryTransport]:
    """Return two joined transports.

    Args:
        text: what they say of themselves.
        delay: seconds that a message takes, each way.
        break_after: the connection breaks when so many messages of either end have arrived.
    """
    near = MemoryTransport(text=text, delay=delay, break_after=break_after, peer="memory:far")
    far = MemoryTransport(text=text, delay=delay, break_after=break_after, peer="memory:near")
    near.far, far.far = far, near
    return near, far


def _ignore(*_: object) -> None:
    """Stand in for a callback that is not set yet."""
