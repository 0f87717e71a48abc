"""A reliable channel: fragments out, kept until they are acknowledged; messages in, once and in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from plait.wire.errors import Busy, LinkViolation, MessageTooLarge
from plait.wire.link.frames import Ack, Data

if TYPE_CHECKING:
    from plait.wire.link.frames import Declaration

FRAGMENT: Final = 15 << 10
"""Bytes of a fragment: what a steering command may have to wait for, and what fits every data channel."""

WINDOW: Final = 1 << 20
"""Bytes that the far end may send beyond what was put together here."""

UNREAD: Final = 4 << 20
"""Bytes of whole messages that the program has not taken, from which on nothing more is granted."""

LONGEST: Final = 64 << 20
"""Bytes of one message. What is larger goes as a file."""

COST: Final = 16
"""Bytes that each fragment, and each unread message, counts for beside its payload: none is free."""

LIMIT: Final = 8 << 20
"""Bytes that wait for the far end's acknowledgement; more is refused as `Busy`."""


class Outgoing:
    """What we send.

    Args:
        channel: our number for it.
        declaration: told until the far end has answered.
        limit: bytes that may wait.

    Attributes:
        buffered: payload bytes that are not acknowledged.
        finished: nothing more may be sent.
        flying: of `buffered`, what was given to the path that carries the link now.
    """

    __slots__ = (
        "_channel",
        "_declaration",
        "_granted",
        "_kept",
        "_limit",
        "_next",
        "_sent",
        "acked",
        "buffered",
        "finished",
        "flying",
    )

    def __init__(self, channel: int, declaration: Declaration, limit: int = LIMIT) -> None:
        self._channel = channel
        self._declaration: Declaration | None = declaration
        self._limit = limit
        self._granted = WINDOW
        self._kept: deque[tuple[Data, int]] = deque()  # with the byte at which each ends
        self._next = 0  # the place in `_kept` of what goes next on this path
        self._sent = 0  # the byte at which the last fragment ends
        self.acked = 0
        self.buffered = 0
        self.finished = False
        self.flying = 0

    @property
    def last(self) -> int:
        """The highest number given out."""
        return self.acked + len(self._kept)

    @property
    def empty(self) -> bool:
        """Whether all of it has come."""
        return not self._kept

    def send(self, payload: bytes, *, text: bool) -> None:
        """Take a message.

        Raises:
            MessageTooLarge: it is over `LONGEST`.
            Busy: too much waits already. Nothing was taken.
        """
        if len(payload) > LONGEST:
            raise MessageTooLarge(f"{len(payload)} bytes; a message of a link has at most {LONGEST}")
        if self.buffered and self.buffered + len(payload) > self._limit:
            raise Busy(f"the far end has not taken {self.buffered} bytes yet")
        pieces = range(0, max(1, len(payload)), FRAGMENT)
        for start in pieces:
            piece = payload[start : start + FRAGMENT]
            last = start == pieces[-1]
            self._sent += len(piece) + COST
            data = Data(self._channel, self.last + 1, piece, start == 0, last, text)
            self._kept.append((data, self._sent))
        self.buffered += len(payload)

    def end(self) -> None:
        """Say, after all that was sent, that nothing more comes."""
        self.finished = True
        self._sent += COST
        self._kept.append((Data(self._channel, self.last + 1, b"", end=True), self._sent))

    def take(self) -> Data | None:
        """Return the next fragment to go, if there is one and the far end has room for it."""
        if self._next == len(self._kept):
            return None
        data, ends = self._kept[self._next]
        if ends > self._granted:
            return None
        self._next += 1
        self.flying += len(data.payload)
        if self._declaration is None:
            return data
        whole = (data.first, data.last, data.text, data.end)
        return Data(data.channel, data.seq, data.payload, *whole, self._declaration)

    def ready(self) -> bool:
        """Whether `take` would return something."""
        return self._next < len(self._kept) and self._kept[self._next][1] <= self._granted

    def again(self) -> None:
        """Send all that is not acknowledged once more: another path carries it now."""
        self._next = self.flying = 0

    def acknowledge(self, ack: Ack) -> None:
        """Forget what has come.

        Raises:
            LinkViolation: it was never sent.
        """
        if ack.seq > self.last:
            raise LinkViolation(f"fragment {ack.seq} is acknowledged, and {self.last} was the last")
        self._declaration = None
        self._granted = max(self._granted, ack.limit)
        while self.acked < ack.seq:
            data, _ = self._kept.popleft()
            self.buffered -= len(data.payload)
            self.acked += 1
            if self._next:  # else it went before the link moved, and came all the same
                self._next -= 1
                self.flying -= len(data.payload)


class Incoming:
    """What comes.

    Args:
        channel: the far end's number for it.
    """

    __slots__ = (
        "_channel",
        "_due",
        "_early",
        "_early_bytes",
        "_granted",
        "_partial",
        "_seq",
        "_size",
        "_taken",
        "_text",
        "ended",
        "told",
        "unread",
    )

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._seq = 0
        self._taken = 0  # payload bytes that came in order
        self._granted = WINDOW
        self._early: dict[int, Data] = {}
        self._early_bytes = 0
        self._partial: list[bytes] | None = None
        self._size = 0
        self._text = False
        self._due = False
        self.unread = 0
        self.ended = False
        self.told = False  # the owner knows that it has ended

    def receive(self, data: Data) -> list[tuple[bytes, bool]]:
        """Take a fragment; return the messages that are whole now, as (payload, whether it is text).

        Raises:
            LinkViolation: it breaks the rules: a number far ahead, more than was granted, fragments that
                overlap or never end.
        """
        self._due = True
        if data.seq <= self._seq or data.seq in self._early:
            return []
        if data.seq == 0 or data.seq > self._seq + 1 + WINDOW:
            raise LinkViolation(f"fragment {data.seq} is far ahead of {self._seq}")
        if self._taken + self._early_bytes + len(data.payload) + COST > self._granted:
            raise LinkViolation(f"more than the {self._granted} bytes that were granted")
        self._early[data.seq] = data
        self._early_bytes += len(data.payload) + COST
        whole = []
        while self._seq + 1 in self._early:
            self._seq += 1
            data = self._early.pop(self._seq)
            self._early_bytes -= len(data.payload) + COST
            self._taken += len(data.payload) + COST
            if (message := self._put(data)) is not None:
                whole.append(message)
                self.unread += len(message[0]) + COST
        return whole

    def _put(self, data: Data) -> tuple[bytes, bool] | None:
        if self.ended:
            raise LinkViolation("a fragment comes after the channel's end")
        if data.first != (self._partial is None):
            raise LinkViolation("a message begins in the middle of another, or without a beginning")
        if self._partial is None:
            self._partial, self._size, self._text = [], 0, data.text
        self._partial.append(data.payload)
        self._size += len(data.payload)
        if self._size > LONGEST:
            raise LinkViolation(f"a message goes on beyond {LONGEST} bytes")
        if not data.last:
            return None
        message = b"".join(self._partial)
        self._partial = None
        self.ended = data.end
        return None if data.end else (message, self._text)

    def took(self, size: int) -> None:
        """Note that the program has taken a message of so many bytes."""
        held = self.unread > UNREAD
        self.unread -= size + COST
        self._due |= held and self.unread <= UNREAD

    def ack(self) -> Ack | None:
        """Return what the far end is to be told, where something is due."""
        if not self._due:
            return None
        self._due = False
        if self.unread <= UNREAD:
            self._granted = max(self._granted, self._taken + WINDOW)
        return Ack(self._channel, self._seq, self._granted)

    def final(self) -> Ack:
        """Return the last acknowledgement."""
        return Ack(self._channel, self._seq, self._granted)

    def again(self) -> None:
        """Tell it once more: the last acknowledgement may have gone down with its path."""
        self._due = True
