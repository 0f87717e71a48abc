"""The channels of a link: by name, by our number and by the far end's; and what is kept of old ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plait.wire.errors import Busy, LinkViolation
from plait.wire.link.channel import Channel, Recent
from plait.wire.link.reliable import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.wire.link.frames import Ack, Data, Datagram, Declaration, Value

MOST_CHANNELS: Final = 256


class Table:
    """The channels.

    Args:
        limit: bytes that may wait on each reliable channel.

    Attributes:
        names, ours, theirs: the channels by name, by our number, by the far end's.
        refused: numbers of theirs, and why.
        given_up: numbers of ours, and why.
        done: numbers of theirs that ended well.
    """

    def __init__(self, limit: int) -> None:
        self.names: dict[str, Channel] = {}
        self.ours: dict[int, Channel] = {}
        self.theirs: dict[int, Channel] = {}
        self.refused: Recent[str] = Recent()
        self.given_up: Recent[str] = Recent()
        self.done: Recent[Ack] = Recent()
        self._limit = limit
        self._last = 0

    def make(self, declaration: Declaration) -> Channel:
        """Make a channel under the next number.

        Raises:
            Busy: there are too many.
        """
        if len(self.names) >= MOST_CHANNELS:
            raise Busy(f"{MOST_CHANNELS} channels are open already")
        self._last += 1
        channel = Channel(self._last, declaration, self._limit)
        self.names[declaration.name] = self.ours[self._last] = channel
        return channel

    def meet(self, frame: Data | Value | Datagram, made: Callable[[Declaration], None]) -> Channel:
        """Find, or make, the channel that a frame of the far end's declares.

        Args:
            frame: its first.
            made: told of a channel that nobody here has asked for.

        Raises:
            LinkViolation: the declaration breaks the rules.
        """
        declared = frame.declaration
        if declared is None:
            raise LinkViolation("a channel that was not declared")
        channel = self.names.get(declared.name)
        if channel is not None and channel.declaration.delivery != declared.delivery:
            here, there = channel.declaration.delivery, declared.delivery
            raise LinkViolation(f"{declared.name!r} is of the class {here} here, {there} there")
        if channel is not None and channel.theirs is not None:
            if not channel.ended:
                raise LinkViolation(f"{declared.name!r} has a number already")
            self.forget(channel)  # it has ended, and this is the next of its name
            channel = None
        if channel is None:
            channel = self._welcome(declared)
            made(declared)
        channel.theirs = frame.channel
        if isinstance(channel.into, Incoming):
            channel.into = Incoming(frame.channel)
        self.theirs[frame.channel] = channel
        return channel

    def _welcome(self, declared: Declaration) -> Channel:
        if not declared.name:
            raise LinkViolation("a channel without a name")
        try:
            return self.make(declared)
        except Busy as busy:
            raise LinkViolation(busy.detail) from busy

    def forget(self, channel: Channel) -> None:
        """Forget a channel; what still comes of it is refused."""
        if self.names.get(channel.declaration.name) is channel:
            del self.names[channel.declaration.name]
        for table in (self.ours, self.theirs):
            for number in [number for number, each in table.items() if each is channel]:
                del table[number]
                if table is self.theirs and number not in self.refused and number not in self.done:
                    self.refused[number] = "the channel has ended"
