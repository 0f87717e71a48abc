"""What travels between the two ends of a link, to bytes and back: `docs/protocol.md`, section 5.

A packet is one or more frames, each after its length. Numbers are unsigned LEB128, at most ten bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from plait.wire.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

Delivery = Literal["reliable", "latest", "datagram"]

DELIVERIES: Final[tuple[Delivery, ...]] = ("reliable", "latest", "datagram")
LONGEST_NAME: Final = 128
"""Bytes of a channel's name, and of a value's key, in UTF-8."""

_DATA, _ACK, _VALUE, _SEEN, _DATAGRAM, _RESET, _PING, _PONG = range(1, 9)

_FIRST, _LAST, _TEXT, _DECLARED, _END = 1, 2, 4, 8, 16


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a channel is; rides on its frames until the far end has answered one.

    Attributes:
        name: of the channel.
        delivery: its class.
        priority: 0 to 255; higher goes first.
    """

    name: str
    delivery: Delivery
    priority: int


@dataclass(frozen=True, slots=True)
class Data:
    """A fragment of a message on a reliable channel.

    Attributes:
        channel: the sender's number for it.
        seq: 1, 2, 3, … in each direction of each channel.
        payload: bytes of the message.
        first, last: whether the message begins and ends with it.
        text: the message is a string in UTF-8.
        end: nothing comes after this message on this channel.
        declaration: of the channel.
    """

    channel: int
    seq: int
    payload: bytes
    first: bool = True
    last: bool = True
    text: bool = False
    end: bool = False
    declaration: Declaration | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """What has come of a channel, and how much more may.

    Attributes:
        channel: the number of the end whose frames these are: the receiver's of this frame.
        seq: all up to this have come.
        limit: so many payload bytes, counted from the channel's beginning, may be sent in all.
    """

    channel: int
    seq: int
    limit: int


@dataclass(frozen=True, slots=True)
class Value:
    """The newest value of a key, on a channel of class `latest`."""

    channel: int
    seq: int
    key: str
    payload: bytes
    text: bool = False
    declaration: Declaration | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Says that a value has come."""

    channel: int
    seq: int


@dataclass(frozen=True, slots=True)
class Datagram:
    """A message that comes at most once."""

    channel: int
    seq: int
    payload: bytes
    text: bool = False
    declaration: Declaration | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Ends a channel by force.

    Attributes:
        channel: see `mine`.
        mine: whether it is a channel of the sender's of this frame, which it gives up; else one of the
            receiver's, whose frames are refused.
        reason: in words.
    """

    channel: int
    mine: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks whether a path works. It is answered on the path on which it came."""

    token: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a `Ping`."""

    token: int


Frame = Data | Ack | Value | Seen | Datagram | Reset | Ping | Pong


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(text: str) -> bytes:
    data = text.encode()
    return _number(len(data)) + data


def _declare(declaration: Declaration | None) -> bytes:
    if declaration is None:
        return b""
    kind = DELIVERIES.index(declaration.delivery)
    return bytes((kind, declaration.priority)) + _string(declaration.name)


def encode(frame: Frame) -> bytes:
    """Return a frame's bytes."""
    match frame:
        case Data(channel, seq, payload, first, last, text, end, declaration):
            flags = first * _FIRST | last * _LAST | text * _TEXT | end * _END
            flags |= _DECLARED if declaration else 0
            return b"".join(
                (bytes((_DATA, flags)), _number(channel), _number(seq), _declare(declaration), payload)
            )
        case Ack(channel, seq, limit):
            return bytes((_ACK,)) + _number(channel) + _number(seq) + _number(limit)
        case Value(channel, seq, key, payload, text, declaration):
            flags = text * _TEXT | (_DECLARED if declaration else 0)
            head = bytes((_VALUE, flags)) + _number(channel) + _number(seq)
            return head + _declare(declaration) + _string(key) + payload
        case Seen(channel, seq):
            return bytes((_SEEN,)) + _number(channel) + _number(seq)
        case Datagram(channel, seq, payload, text, declaration):
            flags = text * _TEXT | (_DECLARED if declaration else 0)
            head = bytes((_DATAGRAM, flags)) + _number(channel) + _number(seq)
            return head + _declare(declaration) + payload
        case Reset(channel, mine, reason):
            return bytes((_RESET, mine)) + _number(channel) + _string(reason)
        case Ping(token):
            return bytes((_PING,)) + _number(token)
        case Pong(token):
            return bytes((_PONG,)) + _number(token)


def pack(frames: list[bytes]) -> bytes:
    """Return the packet that holds these encoded frames."""
    return b"".join(_number(len(frame)) + frame for frame in frames)


def packed_size(frame: bytes) -> int:
    """Return how many bytes a frame takes in a packet."""
    return len(frame) + len(_number(len(frame)))


def unpack(packet: bytes) -> Iterator[Frame]:
    """Yield the frames of a packet.

    Raises:
        InvalidMessage: from there on it is none.
    """
    reader = _Reader(packet)
    while reader.rest:
        yield decode(reader.take(reader.number()))


def decode(data: bytes) -> Frame:
    """Return the frame that these bytes are.

    Raises:
        InvalidMessage: they are none.
    """
    reader = _Reader(data)
    kind = reader.byte()
    flags = reader.byte() if kind in (_DATA, _VALUE, _DATAGRAM, _RESET) else 0
    channel = reader.number()
    if kind in (_PING, _PONG):
        reader.done()
        return Ping(channel) if kind == _PING else Pong(channel)
    if kind == _RESET:
        reason = reader.string(1024)
        reader.done()
        return Reset(channel, bool(flags), reason)
    seq = reader.number()
    if kind == _ACK:
        limit = reader.number()
        reader.done()
        return Ack(channel, seq, limit)
    if kind == _SEEN:
        reader.done()
        return Seen(channel, seq)
    declaration = reader.declaration() if flags & _DECLARED else None
    text = bool(flags & _TEXT)
    if kind == _DATA:
        first, last, end = bool(flags & _FIRST), bool(flags & _LAST), bool(flags & _END)
        return Data(channel, seq, reader.remainder(), first, last, text, end, declaration)
    if kind == _VALUE:
        key = reader.string(LONGEST_NAME)
        return Value(channel, seq, key, reader.remainder(), text, declaration)
    if kind == _DATAGRAM:
        return Datagram(channel, seq, reader.remainder(), text, declaration)
    raise InvalidMessage(f"no frame is of the kind {kind}")


class _Reader:
    """Reads one frame or packet from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> int:
        return len(self._data) - self._at

    def byte(self) -> int:
        if not self.rest:
            raise InvalidMessage("a frame ends too early")
        self._at += 1
        return self._data[self._at - 1]

    def take(self, count: int) -> bytes:
        if count > self.rest:
            raise InvalidMessage("a frame ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def remainder(self) -> bytes:
        return self.take(self.rest)

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if value >= 1 << 63 or shift > 63:
                raise InvalidMessage("a number is beyond 63 bits")
            if byte < 0x80:
                return value
            shift += 7

    def string(self, most: int) -> str:
        length = self.number()
        if length > most:
            raise InvalidMessage(f"a name has at most {most} bytes")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise InvalidMessage("a name is not UTF-8") from error

    def declaration(self) -> Declaration:
        kind, priority = self.byte(), self.byte()
        if kind >= len(DELIVERIES):
            raise InvalidMessage(f"no delivery class has the number {kind}")
        return Declaration(self.string(LONGEST_NAME), DELIVERIES[kind], priority)

    def done(self) -> None:
        if self.rest:
            raise InvalidMessage("a frame goes on too long")
