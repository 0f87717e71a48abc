"""The channel benchmarks' end on aiortc."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from aiortc import RTCPeerConnection, RTCSessionDescription

from benchmarks._channel import HIGH, LOW, main

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._channel import Channel


class AiortcChannel:
    """Implements `Channel`."""

    def __init__(self, channel: Any) -> None:
        self.label = channel.label
        self.send_now = channel.send
        self.open = asyncio.Event()
        self._low = asyncio.Event()
        self._got: asyncio.Queue[Any] = asyncio.Queue()
        self.receive = self._got.get
        self._channel = channel
        channel.bufferedAmountLowThreshold = LOW
        channel.on("bufferedamountlow", self._low.set)
        channel.on("message", self._got.put_nowait)
        channel.on("open", self.open.set)

    async def send(self, data: bytes | str) -> None:
        """See `Channel`."""
        self._channel.send(data)
        if self._channel.bufferedAmount > HIGH:
            self._low.clear()
            await self._low.wait()

    def listen(self, take: Callable[[bytes | str], None]) -> None:
        """See `Channel`."""
        self._channel.remove_listener("message", self._got.put_nowait)
        self._channel.on("message", take)


class AiortcPeer:
    """Implements `Peer`."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection()
        self._gone = asyncio.Event()
        self.close = self._peer.close
        self.closed = self._gone.wait

    def channel(self, label: str) -> AiortcChannel:
        """See `Peer`."""
        return AiortcChannel(self._peer.createDataChannel(label))

    def on_channel(self, take: Callable[[Channel], None]) -> None:
        """See `Peer`."""

        def made(channel: Any) -> None:
            channel.on("close", self._gone.set)
            take(AiortcChannel(channel))

        self._peer.on("datachannel", made)

    async def offer(self) -> str:
        """See `Peer`."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        """See `Peer`."""
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp)

    async def take(self, answer: str) -> None:
        """See `Peer`."""
        await self._peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

    async def opened(self, channel: Channel) -> None:
        """See `Peer`."""
        await cast("AiortcChannel", channel).open.wait()


if __name__ == "__main__":
    main(AiortcPeer)
