"""One end of the channel benchmark, on aiortc; the same steps as `_channel_plait`."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription

# As in plait.rtc: hold back above one, go on below the other.
HIGH, LOW = 1 << 20, 256 << 10


async def _stdin() -> str:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    text: str = json.loads(line)
    return text


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def _opened(channel: Any) -> None:
    event = asyncio.Event()
    channel.on("open", event.set)
    if channel.readyState != "open":
        await event.wait()


async def send(seconds: float, trips: int) -> None:
    """Offer, send for so long, then count round trips."""
    peer = RTCPeerConnection()
    bulk, echo = peer.createDataChannel("bulk"), peer.createDataChannel("echo")
    low = asyncio.Event()
    bulk.bufferedAmountLowThreshold = LOW
    bulk.on("bufferedamountlow", low.set)
    replies: asyncio.Queue[Any] = asyncio.Queue()
    bulk.on("message", replies.put_nowait)
    echo.on("message", replies.put_nowait)
    await peer.setLocalDescription(await peer.createOffer())
    _say(peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(sdp=await _stdin(), type="answer"))
    await asyncio.gather(_opened(bulk), _opened(echo))
    message, sent = bytes(65536), 0
    busy, began = time.process_time(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        bulk.send(message)
        sent += len(message)
        if bulk.bufferedAmount > HIGH:
            low.clear()
            await low.wait()
    bulk.send(str(sent))
    await replies.get()
    took, busy = time.perf_counter() - began, time.process_time() - busy
    times = []
    for _ in range(trips):
        start = time.perf_counter()
        echo.send(message[:100])
        await replies.get()
        times.append(time.perf_counter() - start)
    _say({"bytes": sent, "seconds": took, "rtt_p50": statistics.median(times), "cpu_s": busy})
    await peer.close()


async def receive() -> None:
    """Answer, count what comes on one channel, send back what comes on the other."""
    peer = RTCPeerConnection()
    closed = asyncio.Event()
    got = 0
    busy = 0.0

    def on_channel(channel: Any) -> None:
        def on_bulk(message: bytes | str) -> None:
            nonlocal got, busy
            busy = busy or time.process_time()
            if isinstance(message, str):
                assert got == int(message)
                busy = time.process_time() - busy
                channel.send("all")
            else:
                got += len(message)

        channel.on("message", on_bulk if channel.label == "bulk" else channel.send)
        channel.on("close", closed.set)

    peer.on("datachannel", on_channel)
    await peer.setRemoteDescription(RTCSessionDescription(sdp=await _stdin(), type="offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    _say(peer.localDescription.sdp)
    await closed.wait()
    _say({"cpu_s": busy})
    await peer.close()


if __name__ == "__main__":
    asyncio.run(send(float(sys.argv[2]), int(sys.argv[3])) if sys.argv[1] == "send" else receive())
