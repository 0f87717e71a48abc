"""One end of a link: named channels over whichever path is there. No clock, no I/O.

The owner gives what arrives to `receive`, and asks `poll` for packets whenever a path takes some. When
another path carries the link it says so (`moved`): what is not acknowledged is sent again there, and what
comes twice is dropped at the far end.

    send ──▶ channel (reliable | latest | datagram) ──▶ poll ──▶ path ──▶ receive ──▶ events
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from plait.wire.errors import Busy, InvalidMessage, InvalidValue, LinkViolation, MessageTooLarge
from plait.wire.link import frames
from plait.wire.link.frames import (
    Ack,
    Data,
    Datagram,
    Declaration,
    Ping,
    Pong,
    Reset,
    Seen,
    Value,
)
from plait.wire.link.latest import LARGEST, Datagrams, Newer, Newest, Once
from plait.wire.link.reliable import LIMIT, Incoming, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plait.wire.link.frames import Delivery

VERSION: Final = 1
"""Of the frames; agreed upon when the link is opened."""

PACKET: Final = 24 << 10
"""Bytes of a packet at the most: one large frame behind `_BATCH` of small ones."""

_BATCH: Final = 8 << 10

FLIGHT: Final = 1 << 20
"""Bytes on their way at a time: enough for 35 MB/s over 30 ms, and less than a session keeps (8 MiB)."""

MOST_CHANNELS: Final = 256

_MOST_ANSWERS: Final = 4096
_MOST_OVER: Final = 1024

_T = TypeVar("_T")

Lane = Literal["sure", "fast", "any"]
"""sure: ordered and reliable, as a WebSocket or such a data channel. fast: may lose and overtake. any: both
kinds of frames go one way."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The far end uses a channel that nobody here has asked for."""

    name: str
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Received:
    """A message, or a value with its key.

    Attributes:
        channel: its name.
        payload: bytes; UTF-8 where `text`.
        text: the far end sent a string.
        key: of a value; empty else.
    """

    channel: str
    payload: bytes
    text: bool
    key: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes on a channel.

    Attributes:
        channel: its name.
        error: why, where that is not the far end's wish.
    """

    channel: str
    error: LinkViolation | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What came was not a packet; nothing of a channel is touched by it."""

    error: InvalidMessage


Event = Opened | Received | Ended | Fault | Ping | Pong


class _Channel:
    """Both directions of one channel."""

    __slots__ = ("declaration", "into", "out", "theirs", "turn")

    def __init__(self, number: int, declaration: Declaration, limit: int) -> None:
        self.declaration = declaration
        self.theirs: int | None = None
        self.turn = 0
        self.out: Outgoing | Newest | Datagrams
        self.into: Incoming | Newer | Once
        match declaration.delivery:
            case "reliable":
                self.out, self.into = Outgoing(number, declaration, limit), Incoming(0)
            case "latest":
                self.out, self.into = Newest(number, declaration), Newer()
            case "datagram":
                self.out, self.into = Datagrams(number, declaration), Once()

    @property
    def ended(self) -> bool:
        """Whether the far end has ended its direction."""
        return isinstance(self.into, Incoming) and self.into.ended

    @property
    def over(self) -> bool:
        """Whether both directions have ended, and everything has come."""
        return self.ended and isinstance(self.out, Outgoing) and self.out.finished and self.out.empty


class _Recent(dict[int, _T]):
    """What is kept of channels that are over, by number; the oldest go first."""

    def __setitem__(self, number: int, kept: _T) -> None:
        super().__setitem__(number, kept)
        if len(self) > _MOST_OVER:
            del self[next(iter(self))]


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
        self._limit = limit
        self._names: dict[str, _Channel] = {}
        self._ours: dict[int, _Channel] = {}
        self._theirs: dict[int, _Channel] = {}
        self._refused: _Recent[str] = _Recent()  # numbers of theirs, and why
        self._given_up: _Recent[str] = _Recent()  # numbers of ours, and why
        self._done: _Recent[Ack] = _Recent()  # numbers of theirs that ended well
        self._last_number = 0
        self._turn = 0
        # Bounded: a far end that makes us answer faster than it listens misses answers, no more.
        self._sure: deque[bytes] = deque(maxlen=_MOST_ANSWERS)
        self._fast: deque[bytes] = deque(maxlen=_MOST_ANSWERS)

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
        known = self._names.get(name)
        if known is not None and known.declaration.delivery != delivery:
            raise InvalidValue(f"the channel {name!r} is of the class {known.declaration.delivery}")
        if known is None:
            self._make(Declaration(name, delivery, priority))

    def _make(self, declaration: Declaration) -> _Channel:
        if len(self._names) >= MOST_CHANNELS:
            raise Busy(f"{MOST_CHANNELS} channels are open already")
        self._last_number += 1
        channel = _Channel(self._last_number, declaration, self._limit)
        self._names[declaration.name] = self._ours[self._last_number] = channel
        return channel

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
        channel = self._names.get(name)
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
        channel = self._names.get(name)
        if channel is not None and isinstance(channel.out, Outgoing) and not channel.out.finished:
            channel.out.end()

    def took(self, name: str, size: int) -> None:
        """Note that the program has taken a message of so many bytes: the far end may send as much more."""
        channel = self._names.get(name)
        if channel is not None and isinstance(channel.into, Incoming):
            channel.into.took(size)

    def buffered(self, name: str) -> int:
        """Return how many bytes of a reliable channel the far end has not acknowledged."""
        channel = self._names.get(name)
        return channel.out.buffered if channel is not None and isinstance(channel.out, Outgoing) else 0

    @property
    def settled(self) -> bool:
        """Whether the far end has everything that was sent reliably or as a value."""
        return all(channel.out.empty for channel in self._ours.values())

    # Paths

    def moved(self, now: float) -> None:
        """Note that another path carries the link from now on, or the same one after a break."""
        for channel in self._ours.values():
            if isinstance(channel.out, Outgoing):
                channel.out.again()
            elif isinstance(channel.out, Newest):
                channel.out.again(now)
            if isinstance(channel.into, Incoming) and channel.theirs is not None:
                channel.into.again()
        self._sure.extend(frames.encode(Reset(number, True, why)) for number, why in self._given_up.items())

    def poll(self, now: float, lane: Lane = "any") -> bytes | None:
        """Return the next packet for a lane, if something is to go there; at most `PACKET` bytes."""
        packet: list[bytes] = []
        size = 0
        for frame in self._due(now, lane):
            packet.append(frame)
            size += frames.packed_size(frame)
            if size > _BATCH:
                break
        return frames.pack(packet) if packet else None

    def _due(self, now: float, lane: Lane) -> Iterator[bytes]:
        """Yield what is to go, taking it away one by one."""
        if lane != "fast":
            while self._sure:
                yield self._sure.popleft()
            for channel in self._ours.values():
                if isinstance(channel.into, Incoming) and (ack := channel.into.ack()) is not None:
                    yield frames.encode(ack)
        if lane != "sure":
            while self._fast:
                yield self._fast.popleft()
        order = sorted(self._ours.values(), key=lambda each: (-each.declaration.priority, each.turn))
        while order:
            for channel in order:
                frame = self._take(channel, now, lane)
                if frame is not None:
                    self._turn += 1
                    channel.turn = self._turn
                    yield frames.encode(frame)
                    break
            else:
                return
            order.sort(key=lambda each: (-each.declaration.priority, each.turn))

    def _take(self, channel: _Channel, now: float, lane: Lane) -> Data | Value | Datagram | None:
        if isinstance(channel.out, Outgoing):
            full = lane == "fast" or self._flying() >= self.flight
            return None if full else channel.out.take()
        if lane == "sure":
            return None
        return channel.out.take() if isinstance(channel.out, Datagrams) else channel.out.take(now, self.rtt)

    def _flying(self) -> int:
        return sum(each.out.flying for each in self._ours.values() if isinstance(each.out, Outgoing))

    def deadline(self) -> float | None:
        """Return when `poll` will have something though nothing happens before; None where nothing is due."""
        times = [each.out.deadline() for each in self._ours.values() if isinstance(each.out, Newest)]
        return min((time for time in times if time is not None), default=None)

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
        channel = self._ours.get(frame.channel)
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
        if (ack := self._done.get(frame.channel)) is not None:
            self._sure.append(frames.encode(ack))  # it has not heard that all has come
            return
        if frame.channel in self._refused:
            # It has not heard yet, or the word was lost.
            self._sure.append(frames.encode(Reset(frame.channel, False, self._refused[frame.channel])))
            return
        channel = self._theirs.get(frame.channel)
        try:
            if channel is None:
                channel = self._meet(frame, events)
            name = channel.declaration.name
            match frame, channel.into:
                case Data(), Incoming() as into:
                    events.extend(Received(name, payload, text) for payload, text in into.receive(frame))
                    if into.ended and not into.told:
                        into.told = True
                        events.append(Ended(name))
                        self._retire(channel)
                case Value(), Newer() as newer:
                    self._fast.append(frames.encode(Seen(frame.channel, frame.seq)))
                    if newer.receive(frame):
                        events.append(Received(name, frame.payload, frame.text, frame.key))
                case Datagram(), Once() as once:
                    if frame.declaration is not None:
                        self._fast.append(frames.encode(Seen(frame.channel, frame.seq)))
                    if once.receive(frame.seq):
                        events.append(Received(name, frame.payload, frame.text))
                case _:
                    raise _another_class()
        except LinkViolation as violation:
            self._refuse(frame.channel, violation, events)

    def _meet(self, frame: Data | Value | Datagram, events: list[Event]) -> _Channel:
        """Find, or make, the channel that the far end declares."""
        declared = frame.declaration
        if declared is None:
            raise LinkViolation("a channel that was not declared")
        channel = self._names.get(declared.name)
        if channel is not None and channel.declaration.delivery != declared.delivery:
            here, there = channel.declaration.delivery, declared.delivery
            raise LinkViolation(f"{declared.name!r} is of the class {here} here, {there} there")
        if channel is not None and channel.theirs is not None:
            if not channel.ended:
                raise LinkViolation(f"{declared.name!r} has a number already")
            self._forget(channel)  # it has ended, and this is the next of its name
            channel = None
        if channel is None:
            if not declared.name:
                raise LinkViolation("a channel without a name")
            try:
                channel = self._make(declared)
            except Busy as busy:
                raise LinkViolation(busy.detail) from busy
            events.append(Opened(declared.name, declared.delivery))
        channel.theirs = frame.channel
        if isinstance(channel.into, Incoming):
            channel.into = Incoming(frame.channel)
        self._theirs[frame.channel] = channel
        return channel

    def _reset(self, frame: Reset, events: list[Event]) -> None:
        error = LinkViolation(frame.reason)
        if frame.mine:
            channel = self._theirs.pop(frame.channel, None)
            self._refused[frame.channel] = frame.reason
        else:
            channel = self._ours.get(frame.channel)
        if channel is not None:
            self._forget(channel)
            events.append(Ended(channel.declaration.name, error))

    def _refuse(self, number: int, violation: LinkViolation, events: list[Event]) -> None:
        """End a channel of the far end's whose frames break the rules; the others go on."""
        self._refused[number] = violation.detail
        self._sure.append(frames.encode(Reset(number, False, violation.detail)))
        channel = self._theirs.get(number)
        if channel is not None:
            self._forget(channel)
            events.append(Ended(channel.declaration.name, violation))

    def _give_up(self, number: int, violation: LinkViolation, events: list[Event]) -> None:
        self._given_up[number] = violation.detail
        self._sure.append(frames.encode(Reset(number, True, violation.detail)))
        channel = self._ours[number]
        self._forget(channel)
        events.append(Ended(channel.declaration.name, violation))

    def _retire(self, channel: _Channel) -> None:
        """Forget a channel that both ends have finished with."""
        if channel.over:
            if isinstance(channel.into, Incoming) and channel.theirs is not None:
                ack = self._done[channel.theirs] = channel.into.final()
                self._sure.append(frames.encode(ack))
            self._forget(channel)

    def _forget(self, channel: _Channel) -> None:
        if self._names.get(channel.declaration.name) is channel:
            del self._names[channel.declaration.name]
        for table in (self._ours, self._theirs):
            for number in [number for number, each in table.items() if each is channel]:
                del table[number]
                if table is self._theirs and number not in self._refused and number not in self._done:
                    self._refused[number] = "the channel has ended"
