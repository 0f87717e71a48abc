"""One end of a link: named channels over whichever path is there. No clock, no I/O.

The owner gives what arrives to `receive`, and asks `poll` for packets whenever a path takes some. When
another path carries the link it says so (`moved`): what is not acknowledged is sent again there, and what
comes twice is dropped at the far end.

    send ──▶ channel (reliable | latest | datagram) ──▶ poll ──▶ path ──▶ receive ──▶ events
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plait.wire.errors import InvalidMessage, InvalidValue, LinkViolation, MessageTooLarge
from plait.wire.link import frames
from plait.wire.link.events import Ended, Fault, Opened, Received
from plait.wire.link.frames import Ack, Data, Datagram, Declaration, Ping, Pong, Reset, Seen, Value
from plait.wire.link.latest import LARGEST, Datagrams, Newer, Newest, Once
from plait.wire.link.reliable import LIMIT, Incoming, Outgoing
from plait.wire.link.schedule import Schedule
from plait.wire.link.table import Table

if TYPE_CHECKING:
    from plait.wire.link.channel import Channel
    from plait.wire.link.events import Event
    from plait.wire.link.frames import Delivery
    from plait.wire.link.schedule import Lane

VERSION: Final = 1
"""Of the frames; agreed upon when the link is opened."""

FLIGHT: Final = 1 << 20
"""Bytes on their way at a time: enough for 35 MB/s over 30 ms, and less than a session keeps (8 MiB)."""


def _another_class() -> LinkViolation:
    return LinkViolation("a frame of another class than the channel's")


class Link:
    """One end of a link.

    Args:
        limit: bytes that may wait on each reliable channel; more is refused as `Busy`.

    Attributes:
        rtt: seconds that the path takes there and back; how soon a value is sent again follows from it.
        flight: bytes of messages that may be on their way at a time; what the path can hold.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self.rtt = 0.1
        self.flight = FLIGHT
        self._table = Table(limit)
        self._schedule = Schedule(self._table.ours)

    # Channels

    def open(self, name: str, delivery: Delivery = "reliable", *, priority: int = 100) -> None:
        """Use a channel; what the far end sends on one of this name comes to it. Twice does nothing.

        Args:
            name: 1 to 128 bytes of UTF-8.
            delivery: the same at both ends.
            priority: 0 to 255; what is higher goes first.

        Raises:
            InvalidValue: one of these does not fit, or the name stands for another class already.
            Busy: there are too many channels.
        """
        if not 0 < len(name.encode()) <= frames.LONGEST_NAME:
            raise InvalidValue(f"a channel's name has 1 to {frames.LONGEST_NAME} bytes")
        if delivery not in frames.DELIVERIES:
            raise InvalidValue(f"not a delivery class: {delivery!r}")
        if not 0 <= priority <= 255:
            raise InvalidValue(f"not a priority: {priority}")
        known = self._table.names.get(name)
        if known is not None and known.declaration.delivery != delivery:
            raise InvalidValue(f"the channel {name!r} is of the class {known.declaration.delivery}")
        if known is None:
            self._table.make(Declaration(name, delivery, priority))

    def send(self, name: str, payload: bytes, *, now: float, text: bool = False, key: str = "") -> None:
        """Send on a channel that is open.

        Args:
            name: the channel's.
            payload: bytes.
            now: the time, of any clock that only goes forward, in seconds.
            text: it is a string in UTF-8.
            key: of a value; for the class `latest` alone.

        Raises:
            InvalidValue: there is no such channel, or it has ended.
            MessageTooLarge: more than the class takes.
            Busy: the far end has been away, or slow, for too long. Nothing was taken.
        """
        channel = self._table.names.get(name)
        if channel is None or (isinstance(channel.out, Outgoing) and channel.out.finished):
            raise InvalidValue(f"the channel {name!r} is not open")
        if isinstance(channel.out, Outgoing):
            channel.out.send(payload, text=text)
            return
        if len(payload) > LARGEST:
            raise MessageTooLarge(f"{len(payload)} bytes; one of this class has at most {LARGEST}")
        if isinstance(channel.out, Datagrams):
            channel.out.put(payload, text=text)
            return
        if len(key.encode()) > frames.LONGEST_NAME:
            raise InvalidValue(f"a key has at most {frames.LONGEST_NAME} bytes")
        channel.out.put(key, payload, text=text, now=now)

    def finish(self, name: str) -> None:
        """End our direction of a channel, after all that was sent on it."""
        channel = self._table.names.get(name)
        if channel is not None and isinstance(channel.out, Outgoing) and not channel.out.finished:
            channel.out.end()

    def took(self, name: str, size: int) -> None:
        """Note that the program has taken a message of so many bytes: the far end may send as much more."""
        channel = self._table.names.get(name)
        if channel is not None and isinstance(channel.into, Incoming):
            channel.into.took(size)

    def buffered(self, name: str) -> int:
        """Return how many bytes of a reliable channel the far end has not acknowledged."""
        channel = self._table.names.get(name)
        return channel.out.buffered if channel is not None and isinstance(channel.out, Outgoing) else 0

    @property
    def settled(self) -> bool:
        """Whether the far end has everything that was sent reliably or as a value."""
        return all(channel.out.empty for channel in self._table.ours.values())

    # Paths

    def moved(self, now: float) -> None:
        """Note that another path carries the link from now on, or the same one after a break."""
        for channel in self._table.ours.values():
            if isinstance(channel.out, Outgoing):
                channel.out.again()
            elif isinstance(channel.out, Newest):
                channel.out.again(now)
            if isinstance(channel.into, Incoming) and channel.theirs is not None:
                channel.into.again()
        self._schedule.sure.extend(
            frames.encode(Reset(number, True, why)) for number, why in self._table.given_up.items()
        )

    def poll(self, now: float, lane: Lane = "any") -> bytes | None:
        """Return the next packet for a lane, if something is to go there; at most `PACKET` bytes."""
        return self._schedule.packet(now, lane, rtt=self.rtt, flight=self.flight)

    def deadline(self) -> float | None:
        """Return when `poll` will have something though nothing happens before; None where nothing is due."""
        return self._schedule.deadline()

    # What arrives

    def receive(self, packet: bytes) -> list[Event]:
        """Take a packet that came on any path; return what follows from it."""
        events: list[Event] = []
        try:
            for frame in frames.unpack(packet):
                self._frame(frame, events)
        except InvalidMessage as error:
            events.append(Fault(error))
        return events

    def _frame(self, frame: frames.Frame, events: list[Event]) -> None:
        match frame:
            case Ping() | Pong():
                events.append(frame)
            case Reset():
                self._reset(frame, events)
            case Ack() | Seen():
                self._answered(frame, events)
            case Data() | Value() | Datagram():
                self._arrived(frame, events)

    def _answered(self, frame: Ack | Seen, events: list[Event]) -> None:
        channel = self._table.ours.get(frame.channel)
        if channel is None:
            return  # of a channel that has been given up meanwhile
        try:
            match frame, channel.out:
                case Ack(), Outgoing() as out:
                    out.acknowledge(frame)
                    self._retire(channel)
                case Seen(), Newest() as out:
                    out.seen(frame.seq)
                case Seen(), Datagrams() as out:
                    out.known()
                case _:
                    raise _another_class()
        except LinkViolation as violation:
            self._give_up(frame.channel, violation, events)

    def _arrived(self, frame: Data | Value | Datagram, events: list[Event]) -> None:
        if (ack := self._table.done.get(frame.channel)) is not None:
            self._schedule.sure.append(frames.encode(ack))  # it has not heard that all has come
            return
        if frame.channel in self._table.refused:
            # It has not heard yet, or the word was lost.
            self._schedule.sure.append(
                frames.encode(Reset(frame.channel, False, self._table.refused[frame.channel]))
            )
            return
        channel = self._table.theirs.get(frame.channel)
        try:
            if channel is None:
                channel = self._table.meet(
                    frame, lambda made: events.append(Opened(made.name, made.delivery))
                )
            name = channel.declaration.name
            match frame, channel.into:
                case Data(), Incoming() as into:
                    events.extend(Received(name, payload, text) for payload, text in into.receive(frame))
                    if into.ended and not into.told:
                        into.told = True
                        events.append(Ended(name))
                        self._retire(channel)
                case Value(), Newer() as newer:
                    self._schedule.fast.append(frames.encode(Seen(frame.channel, frame.seq)))
                    if newer.receive(frame):
                        events.append(Received(name, frame.payload, frame.text, frame.key))
                case Datagram(), Once() as once:
                    if frame.declaration is not None:
                        self._schedule.fast.append(frames.encode(Seen(frame.channel, frame.seq)))
                    if once.receive(frame.seq):
                        events.append(Received(name, frame.payload, frame.text))
                case _:
                    raise _another_class()
        except LinkViolation as violation:
            self._refuse(frame.channel, violation, events)

    def _reset(self, frame: Reset, events: list[Event]) -> None:
        error = LinkViolation(frame.reason)
        if frame.mine:
            channel = self._table.theirs.pop(frame.channel, None)
            self._table.refused[frame.channel] = frame.reason
        else:
            channel = self._table.ours.get(frame.channel)
        if channel is not None:
            self._table.forget(channel)
            events.append(Ended(channel.declaration.name, error))

    def _refuse(self, number: int, violation: LinkViolation, events: list[Event]) -> None:
        """End a channel of the far end's whose frames break the rules; the others go on."""
        self._table.refused[number] = violation.detail
        self._schedule.sure.append(frames.encode(Reset(number, False, violation.detail)))
        channel = self._table.theirs.get(number)
        if channel is not None:
            self._table.forget(channel)
            events.append(Ended(channel.declaration.name, violation))

    def _give_up(self, number: int, violation: LinkViolation, events: list[Event]) -> None:
        self._table.given_up[number] = violation.detail
        self._schedule.sure.append(frames.encode(Reset(number, True, violation.detail)))
        channel = self._table.ours[number]
        self._table.forget(channel)
        events.append(Ended(channel.declaration.name, violation))

    def _retire(self, channel: Channel) -> None:
        """Forget a channel that both ends have finished with."""
        if channel.over:
            if isinstance(channel.into, Incoming) and channel.theirs is not None:
                ack = self._table.done[channel.theirs] = channel.into.final()
                self._schedule.sure.append(frames.encode(ack))
            self._table.forget(channel)
