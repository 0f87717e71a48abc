"""The data channels of one connection: made here or by the far end, and found by the engine's numbers."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from plait.rtc.channel import DataChannel

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait import _native

# DCEP allows 65,535 bytes each (RFC 8832), but the engine sends its open message in one packet.
_LONGEST_NAME = 1000


class Channels:
    """Hands on what the engine tells of channels.

    Args:
        native: the engine's peer.
    """

    def __init__(self, native: _native.Peer) -> None:
        self._native = native
        self._open: dict[int, DataChannel] = {}
        self._keys = itertools.count(1)
        self.on_new: Callable[[DataChannel], None] | None = None

    def __bool__(self) -> bool:
        return bool(self._open)

    def make(
        self,
        label: str,
        *,
        ordered: bool,
        max_retransmits: int | None,
        max_packet_life_time: int | None,
        protocol: str,
        negotiated: bool,
        id: int | None,  # noqa: A002 - W3C's name
    ) -> DataChannel:
        """Make a channel.

        Raises:
            ValueError: the options contradict each other, or are out of range.
        """
        if max_retransmits is not None and max_packet_life_time is not None:
            raise ValueError("max_retransmits and max_packet_life_time exclude each other")
        for number in (max_retransmits, max_packet_life_time):
            if number is not None and not 0 <= number <= 0xFFFF:
                raise ValueError(f"{number} does not fit in 16 bits")
        if negotiated != (id is not None):
            raise ValueError("id is needed for a negotiated channel, and only there")
        if id is not None and not 0 <= id < 0xFFFF:
            raise ValueError(f"{id} is not a stream identifier")
        if id is not None and any(channel.id == id for channel in self._open.values()):
            raise ValueError(f"stream {id} is in use already")
        if max(len(label.encode()), len(protocol.encode())) > _LONGEST_NAME:
            raise ValueError(f"label and protocol are limited to {_LONGEST_NAME:,} bytes each")
        key = next(self._keys)
        reliability = (ordered, max_retransmits, max_packet_life_time)
        native = self._native.channel(key, label, *reliability, protocol, id)
        channel = self._keep(key, native, label, protocol, reliability)
        channel.id = id
        return channel

    def _keep(
        self,
        key: int,
        native: _native.Channel,
        label: str,
        protocol: str,
        reliability: tuple[bool, int | None, int | None],
    ) -> DataChannel:
        ordered, max_retransmits, max_packet_life_time = reliability
        channel = self._open[key] = DataChannel(
            native,
            label=label,
            protocol=protocol,
            ordered=ordered,
            max_retransmits=max_retransmits,
            max_packet_life_time=max_packet_life_time,
            limit=lambda: self._native.max_message_size,
        )
        return channel

    # What the engine tells.

    def on_open(  # noqa: PLR0917 - an event of the engine has its members in a tuple
        self,
        key: int,
        native: _native.Channel,
        label: str,
        protocol: str,
        stream: int,
        reliability: tuple[bool, int | None, int | None],
        remote: bool,
    ) -> None:
        """Take note that a channel is open; the far end's is new."""
        channel = self._open.get(key)
        if channel is None and remote:
            channel = self._keep(key, native, label, protocol, reliability)
        if channel is None:
            return
        channel._opened(stream)  # noqa: SLF001 - the two classes are one unit
        if remote and self.on_new is not None:
            self.on_new(channel)

    def on_data(self, key: int, message: bytes | str, size: int) -> None:
        """Hand on a message, with its length on the wire."""
        if (channel := self._open.get(key)) is not None:
            channel._received(message, size)  # noqa: SLF001 - as above

    def on_low(self, key: int) -> None:
        """Let senders go on."""
        if (channel := self._open.get(key)) is not None:
            channel._low()  # noqa: SLF001 - as above

    def on_closed(self, key: int) -> None:
        """Take note that a channel is closed."""
        if (channel := self._open.pop(key, None)) is not None:
            channel._closed()  # noqa: SLF001 - as above

    def end(self, reason: str) -> None:
        """Close them all: the connection is over."""
        for channel in list(self._open.values()):
            channel._closed(reason)  # noqa: SLF001 - as above
        self._open.clear()
