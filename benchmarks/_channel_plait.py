"""The channel benchmarks' end on plait.rtc."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from benchmarks._channel import main
from plait.rtc import PeerConnection, SessionDescription

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._channel import Channel
    from plait.rtc import DataChannel


class PlaitChannel:
    """Implements `Channel`."""

    def __init__(self, channel: DataChannel) -> None:
        self.label = channel.label
        self.opened = channel.opened
        self.send = channel.send
        self.send_now = channel.send_nowait
        self.receive = channel.receive
        self._channel = channel

    def listen(self, take: Callable[[bytes | str], None]) -> None:
        """See `Channel`."""
        self._channel.on_message = take


class PlaitPeer:
    """Implements `Peer`."""

    def __init__(self) -> None:
        self._peer = PeerConnection()
        self.closed = self._peer.closed
        self.close = self._peer.close

    def channel(self, label: str) -> PlaitChannel:
        """See `Peer`."""
        return PlaitChannel(self._peer.create_data_channel(label))

    def on_channel(self, take: Callable[[Channel], None]) -> None:
        """See `Peer`."""
        self._peer.on_data_channel = lambda channel: take(PlaitChannel(channel))

    async def offer(self) -> str:
        """See `Peer`."""
        return (await self._peer.create_offer()).sdp

    async def answer(self, offer: str) -> str:
        """See `Peer`."""
        return (await self._peer.accept(SessionDescription("offer", offer))).sdp

    async def take(self, answer: str) -> None:
        """See `Peer`."""
        await self._peer.set_answer(SessionDescription("answer", answer))

    async def opened(self, channel: Channel) -> None:
        """See `Peer`."""
        await cast("PlaitChannel", channel).opened()


if __name__ == "__main__":
    main(PlaitPeer)
