"""Data channels (W3C RTCDataChannel, RFC 8831)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Literal

from plait.rtc.errors import ChannelClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plait import _native

LOW_WATER = 256 << 10


class DataChannel:
    """One data channel of a peer connection.

    Messages come to `on_message` where that is set, else they wait for `async for message in channel`.
    What waits is bounded: a far end that sends faster than the application reads is held back by SCTP's
    own window.

    Attributes:
        label, protocol: as given by the side that made it.
        ordered: messages arrive in the order in which they were sent.
        max_retransmits, max_packet_life_time: how long SCTP tries (count; milliseconds); None: until it
            succeeds.
        id: the SCTP stream identifier; None until it is open.
        ready_state: "connecting", "open", "closing" or "closed".
        max_message_size: the longest message that the far end takes, in bytes.
        on_message: called with each message, str or bytes.
        on_close: called once when it is closed, by whichever side.
    """

    def __init__(
        self,
        native: _native.Channel,
        *,
        label: str,
        protocol: str,
        ordered: bool,
        max_retransmits: int | None,
        max_packet_life_time: int | None,
        limit: Callable[[], int],
    ) -> None:
        self.label = label
        self.protocol = protocol
        self.ordered = ordered
        self.max_retransmits = max_retransmits
        self.max_packet_life_time = max_packet_life_time
        self.id: int | None = None
        self.ready_state: Literal["connecting", "open", "closing", "closed"] = "connecting"
        self.on_close: Callable[[], None] | None = None
        self._on_message: Callable[[bytes | str], None] | None = None
        self._native = native
        self._limit = limit
        self._reason = "the channel is closed"
        # Messages with their length on the wire.
        self._inbox: deque[tuple[bytes | str, int]] = deque()
        # Futures of those who wait: for a message, for room, for the channel to open.
        self._readers: set[asyncio.Future[None]] = set()
        self._senders: set[asyncio.Future[None]] = set()
        self._openers: set[asyncio.Future[None]] = set()

    @property
    def key(self) -> int:
        """The engine's number for this channel."""
        return self._native.key

    @property
    def buffered_amount(self) -> int:
        """Bytes given to `send` that the far end has not acknowledged."""
        return self._native.buffered_amount

    @property
    def max_message_size(self) -> int:
        """The longest message that the far end takes, in bytes; 0 until it has said."""
        return self._limit()

    @property
    def on_message(self) -> Callable[[bytes | str], None] | None:
        """Who takes messages as they come; what waited is given to it at once."""
        return self._on_message

    @on_message.setter
    def on_message(self, handler: Callable[[bytes | str], None] | None) -> None:
        self._on_message = handler
        while handler is not None and self._inbox:
            handler(self._take())

    async def opened(self) -> None:
        """Wait until messages can be sent.

        Raises:
            ChannelClosed: it was closed before.
        """
        if self.ready_state == "connecting":
            await _wait(self._openers)
        if self.ready_state != "open":
            raise ChannelClosed(self._reason)

    async def send(self, data: bytes | bytearray | memoryview | str) -> None:
        """Send a message; a str arrives as a str, anything else as bytes.

        Waits while the buffered amount is above the high-water mark (1 MiB; up to 4 MiB over a long fast
        path, which holds as much), so that a sender goes as fast as the path does. The message itself is on
        its way before this waits.

        Raises:
            ChannelClosed: the channel is not open (any more).
            ValueError: the message is longer than the far end takes.
        """
        if self.ready_state != "open":
            await self.opened()
        if self.send_nowait(data) > self._native.high_water:
            await self.drain(self._native.low_water)

    def send_nowait(self, data: bytes | bytearray | memoryview | str) -> int:
        """Send without waiting, and return the buffered amount in bytes, this message included.

        Raises:
            ChannelClosed: the channel is not open.
            ValueError: the message is longer than the far end takes.
            BufferError: 64 MiB wait already.
        """
        if self.ready_state != "open":
            raise ChannelClosed(self._reason)
        text = isinstance(data, str)
        raw = data.encode() if isinstance(data, str) else bytes(data)
        limit = self._limit()
        if limit and len(raw) > limit:
            raise ValueError(f"{len(raw)} bytes are more than the far end takes in one message ({limit})")
        return self._native.send(raw, not text)

    async def drain(self, low: int = LOW_WATER) -> None:
        """Wait until the buffered amount is at most `low` bytes.

        Raises:
            ChannelClosed: the channel was closed meanwhile.
        """
        while self.ready_state == "open" and self._native.wait_low(low):
            await _wait(self._senders)
        if self.ready_state != "open":
            raise ChannelClosed(self._reason)

    def close(self) -> None:
        """Close it; what has not been sent is dropped, and the far end is told. Idempotent."""
        if self.ready_state in ("connecting", "open"):
            self.ready_state = "closing"
            self._native.close()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Messages in order, until the channel is closed."""
        while True:
            while self._inbox:
                yield self._take()
            if self.ready_state == "closed":
                return
            await _wait(self._readers)

    async def receive(self) -> bytes | str:
        """Return the next message.

        Raises:
            ChannelClosed: there is none, and none will come.
        """
        while not self._inbox:
            if self.ready_state == "closed":
                raise ChannelClosed(self._reason)
            await _wait(self._readers)
        return self._take()

    # What follows is called by the peer connection when the engine tells it.

    def _opened(self, stream: int) -> None:
        self.id = stream
        if self.ready_state == "connecting":
            self.ready_state = "open"
        _wake(self._openers)

    def _received(self, message: bytes | str, size: int) -> None:
        if self._on_message is not None:
            self._native.consumed(size)
            self._on_message(message)
            return
        self._inbox.append((message, size))
        _wake(self._readers)

    def _low(self) -> None:
        _wake(self._senders)

    def _closed(self, reason: str = "") -> None:
        if self.ready_state == "closed":
            return
        self.ready_state = "closed"
        self._reason = reason or self._reason
        for waiting in (self._openers, self._senders, self._readers):
            _wake(waiting)
        if self.on_close is not None:
            self.on_close()

    def _take(self) -> bytes | str:
        message, size = self._inbox.popleft()
        self._native.consumed(size)
        return message


async def _wait(waiting: set[asyncio.Future[None]]) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.add(future)
    try:
        await future
    finally:
        waiting.discard(future)


def _wake(waiting: set[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
    waiting.clear()
