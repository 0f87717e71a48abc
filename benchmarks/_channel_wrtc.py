"""The channel benchmarks' end on wrtc (libwebrtc)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from webrtc import RTCPeerConnection, RTCSessionDescription

from benchmarks._channel import HIGH, LOW, main

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._channel import Channel


class WrtcChannel:
    """Implements `Channel`."""

    def __init__(self, channel: Any) -> None:
        self.label = channel.label
        self.send_now = channel.send
        self.open = asyncio.Event()
        self._low = asyncio.Event()
        self._got: asyncio.Queue[Any] = asyncio.Queue()
        self.receive = self._got.get
        self._take: Callable[[bytes | str], None] = self._got.put_nowait
        self._channel = channel
        channel.buffered_amount_low_threshold = LOW
        channel.on("bufferedamountlow", lambda *_: self._low.set())
        channel.on("message", lambda event: self._take(event.data))
        channel.on("open", lambda *_: self.open.set())

    async def send(self, data: bytes | str) -> None:
        """See `Channel`."""
        self._channel.send(data)
        if self._channel.buffered_amount > HIGH:
            self._low.clear()
            await self._low.wait()

    def listen(self, take: Callable[[bytes | str], None]) -> None:
        """See `Channel`."""
        self._take = take


class WrtcPeer:
    """Implements `Peer`."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection()
        self._gone = asyncio.Event()
        self.closed = self._gone.wait

    def channel(self, label: str) -> WrtcChannel:
        """See `Peer`."""
        return WrtcChannel(self._peer.create_data_channel(label))

    def on_channel(self, take: Callable[[Channel], None]) -> None:
        """See `Peer`."""

        def made(event: Any) -> None:
            event.channel.on("close", lambda *_: self._gone.set())
            take(WrtcChannel(event.channel))

        self._peer.on("datachannel", made)

    async def offer(self) -> str:
        """See `Peer`."""
        await self._peer.set_local_description(await self._peer.create_offer())
        return await self._gathered()

    async def answer(self, offer: str) -> str:
        """See `Peer`."""
        await self._peer.set_remote_description(RTCSessionDescription(sdp=offer, type="offer"))
        await self._peer.set_local_description(await self._peer.create_answer())
        return await self._gathered()

    async def _gathered(self) -> str:
        event = asyncio.Event()
        self._peer.on("icegatheringstatechange", lambda *_: event.set())
        while self._peer.ice_gathering_state != "complete":
            await event.wait()
            event.clear()
        return str(self._peer.local_description.sdp)

    async def take(self, answer: str) -> None:
        """See `Peer`."""
        await self._peer.set_remote_description(RTCSessionDescription(sdp=answer, type="answer"))

    async def opened(self, channel: Channel) -> None:
        """See `Peer`."""
        ours = cast("WrtcChannel", channel)
        if ours._channel.ready_state != "open":  # noqa: SLF001 - one module
            await ours.open.wait()

    async def close(self) -> None:
        """See `Peer`."""
        self._peer.close()


if __name__ == "__main__":
    main(WrtcPeer)
