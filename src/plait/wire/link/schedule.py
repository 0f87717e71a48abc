"""What of a link's channels goes next, on the path that carries it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal

from plait.wire.link import frames
from plait.wire.link.latest import Datagrams, Newest
from plait.wire.link.reliable import Incoming, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plait.wire.link.channel import Channel
    from plait.wire.link.frames import Data, Datagram, Value

PACKET: Final = 24 << 10
"""Bytes of a packet at the most: one large frame behind `_BATCH` of small ones."""

_BATCH: Final = 8 << 10

_MOST_ANSWERS: Final = 4096

Lane = Literal["sure", "fast", "any"]
"""sure: ordered and reliable, as a WebSocket or such a data channel. fast: may lose and overtake. any: both
kinds of frames go one way."""


class Schedule:
    """Takes turns between channels; answers before all else.

    Args:
        channels: ours, by number; the owner adds and removes them.

    Attributes:
        sure, fast: answers, encoded, for the lane of that name.
    """

    def __init__(self, channels: Mapping[int, Channel]) -> None:
        # Bounded: a far end that makes us answer faster than it listens misses answers, no more.
        self.sure: deque[bytes] = deque(maxlen=_MOST_ANSWERS)
        self.fast: deque[bytes] = deque(maxlen=_MOST_ANSWERS)
        self._channels = channels
        self._turn = 0

    def packet(self, now: float, lane: Lane, *, rtt: float, flight: int) -> bytes | None:
        """Return the next packet for a lane, if something is to go there; at most `PACKET` bytes.

        Args:
            now: the time, in seconds.
            lane: where it goes.
            rtt: seconds that the path takes there and back.
            flight: bytes of messages that may be on their way at a time.
        """
        packet: list[bytes] = []
        size = 0
        for frame in self._due(now, lane, rtt, flight):
            packet.append(frame)
            size += frames.packed_size(frame)
            if size > _BATCH:
                break
        return frames.pack(packet) if packet else None

    def deadline(self) -> float | None:
        """Return when there will be a packet though nothing happens before; None where nothing is due."""
        times = [each.out.deadline() for each in self._channels.values() if isinstance(each.out, Newest)]
        return min((time for time in times if time is not None), default=None)

    def _due(self, now: float, lane: Lane, rtt: float, flight: int) -> Iterator[bytes]:
        """Yield what is to go, taking it away one by one."""
        if lane != "fast":
            while self.sure:
                yield self.sure.popleft()
            for channel in self._channels.values():
                if isinstance(channel.into, Incoming) and (ack := channel.into.ack()) is not None:
                    yield frames.encode(ack)
        if lane != "sure":
            while self.fast:
                yield self.fast.popleft()
        order = sorted(self._channels.values(), key=_place)
        while order:
            for channel in order:
                frame = self._take(channel, now, lane, rtt, flight)
                if frame is not None:
                    self._turn += 1
                    channel.turn = self._turn
                    yield frames.encode(frame)
                    break
            else:
                return
            order.sort(key=_place)

    def _take(
        self, channel: Channel, now: float, lane: Lane, rtt: float, flight: int
    ) -> Data | Value | Datagram | None:
        if isinstance(channel.out, Outgoing):
            full = lane == "fast" or self._flying() >= flight
            return None if full else channel.out.take()
        if lane == "sure":
            return None
        return channel.out.take() if isinstance(channel.out, Datagrams) else channel.out.take(now, rtt)

    def _flying(self) -> int:
        return sum(each.out.flying for each in self._channels.values() if isinstance(each.out, Outgoing))


def _place(channel: Channel) -> tuple[int, int]:
    """The highest priority first, and among equals the one whose turn is longest ago."""
    return -channel.declaration.priority, channel.turn
