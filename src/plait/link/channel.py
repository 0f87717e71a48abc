"""The channels of a link, as programs use them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from plait.wire.errors import Busy, LinkLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plait.wire.errors import PlaitError
    from plait.wire.link import Delivery

HIGH: Final = 1 << 20
"""Bytes on a channel that the far end has not acknowledged, above which `send` waits."""

AWAY: Final = 30.0
"""Seconds without progress after which it waits no longer."""

DATAGRAMS: Final = 1024
"""Datagrams that wait for the program; the oldest go first."""


class Sender(Protocol):
    """What a channel needs of its link."""

    def send(self, name: str, payload: bytes, *, text: bool, key: str = "") -> None:
        """Send."""

    def finish(self, name: str) -> None:
        """End our direction."""

    def took(self, name: str, size: int) -> None:
        """Note that a message was taken."""

    def buffered(self, name: str) -> int:
        """Return the bytes that are not acknowledged."""

    def check(self) -> None:
        """Raise where the link is over."""


def _bytes(data: bytes | bytearray | memoryview | str) -> tuple[bytes, bool]:
    return (data.encode(), True) if isinstance(data, str) else (bytes(data), False)


class _Ending:
    """Waiting for news of a channel that may end."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._over = False
        self._error: PlaitError | None = None

    def end(self, error: PlaitError | None) -> None:
        """Note that nothing more comes, and why."""
        self._over, self._error = True, error
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news.clear()

    def moved_on(self) -> None:
        """Note that the far end may have taken something."""
        self._tell()


class Channel(_Ending):
    """A channel of messages: `bytes` or `str`, as they were sent.

    Attributes:
        name: the same at both ends.
        delivery: "reliable" or "datagram".
        on_message: takes each message as it comes, in place of `receive`.
    """

    def __init__(self, name: str, delivery: Delivery, link: Sender) -> None:
        super().__init__()
        self.name = name
        self.delivery = delivery
        self._link = link
        self._inbox: deque[tuple[bytes | str, int]] = deque()
        self._on_message: Callable[[bytes | str], None] | None = None

    @property
    def buffered(self) -> int:
        """Bytes that the far end has not acknowledged."""
        return self._link.buffered(self.name)

    @property
    def waiting(self) -> int:
        """Messages that wait to be received."""
        return len(self._inbox)

    def send_nowait(self, data: bytes | bytearray | memoryview | str) -> None:
        """Send a message now.

        Raises:
            Busy: 8 MiB wait already.
            MessageTooLarge: 64 MiB, or 15 KiB of a datagram, are the most.
            LinkLost: the link is over.
            LinkViolation: the channel has ended so.
        """
        self._check()
        payload, text = _bytes(data)
        self._link.send(self.name, payload, text=text)

    async def send(self, data: bytes | bytearray | memoryview | str) -> None:
        """Send a message, once less than 1 MiB waits on this channel; errors as `send_nowait`.

        Raises:
            Busy: the far end has taken nothing for 30 s.
        """
        before = self.buffered
        while before > HIGH:
            try:
                async with asyncio.timeout(AWAY):
                    while self.buffered >= before:
                        self._check()
                        await self._news.wait()
            except TimeoutError:
                raise Busy(f"the far end has taken nothing of {self.name!r} for {AWAY:.0f} s") from None
            before = self.buffered
        self.send_nowait(data)

    def finish(self) -> None:
        """End this direction, after all that was sent."""
        self._link.finish(self.name)

    @property
    def on_message(self) -> Callable[[bytes | str], None] | None:
        """What takes messages; what waits is given to it at once."""
        return self._on_message

    @on_message.setter
    def on_message(self, take: Callable[[bytes | str], None] | None) -> None:
        self._on_message = take
        while take is not None and self._inbox:
            take(self._pop())

    async def receive(self) -> bytes | str:
        """Return the next message.

        Raises:
            LinkLost: the far end has ended the channel, or the link is over.
            LinkViolation: the channel broke the rules.
        """
        while not self._inbox:
            if self._over:
                raise self._error or LinkLost(f"the far end has ended {self.name!r}")
            await self._news.wait()
        return self._pop()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Messages, until the far end has ended the channel; raises where that was not by its wish."""
        while True:
            while self._inbox:
                yield self._pop()
            if self._over and self._error is not None:
                raise self._error
            if self._over:
                return
            await self._news.wait()

    def _pop(self) -> bytes | str:
        message, size = self._inbox.popleft()
        self._link.took(self.name, size)
        return message

    def _check(self) -> None:
        self._link.check()
        if self._error is not None:
            raise self._error

    def take(self, payload: bytes, *, text: bool, key: str) -> None:
        """Take a message that came."""
        del key
        message = payload.decode(errors="replace") if text else payload
        self._inbox.append((message, len(payload)))
        if self._on_message is not None:
            self._on_message(self._pop())
        elif self.delivery == "datagram" and len(self._inbox) > DATAGRAMS:
            self._inbox.popleft()
        self._tell()


class Values(_Ending):
    """A channel of values, of which the newest of each key counts.

    Attributes:
        name: the same at both ends.
        latest: what has come, by key.
        on_value: told of each key and its new value.
    """

    def __init__(self, name: str, link: Sender) -> None:
        super().__init__()
        self.name = name
        self.latest: dict[str, bytes | str] = {}
        self.on_value: Callable[[str, bytes | str], None] | None = None
        self._link = link
        self._fresh: dict[str, None] = {}

    def set(self, key: str, data: bytes | bytearray | memoryview | str) -> None:
        """Send the newest value of a key; one that has not gone yet is forgotten.

        Raises:
            InvalidValue: the key is over 128 bytes, or one of more than 4,096.
            MessageTooLarge: over 15 KiB.
            LinkLost: the link is over.
        """
        self._link.check()
        payload, text = _bytes(data)
        self._link.send(self.name, payload, text=text, key=key)

    async def __aiter__(self) -> AsyncIterator[tuple[str, bytes | str]]:
        """News as (key, value): of each key the newest, where the program is slower than they come."""
        while True:
            while self._fresh:
                key = next(iter(self._fresh))
                del self._fresh[key]
                yield key, self.latest[key]
            if self._over and self._error is not None:
                raise self._error
            if self._over:
                return
            await self._news.wait()

    def take(self, payload: bytes, *, text: bool, key: str) -> None:
        """Take a value that came."""
        self.latest[key] = value = payload.decode(errors="replace") if text else payload
        self._fresh[key] = None
        if self.on_value is not None:
            self.on_value(key, value)
        self._tell()
