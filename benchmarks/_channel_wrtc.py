"""One end of the channel benchmarks, on wrtc (libwebrtc); the same steps as `_channel_plait`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from webrtc import RTCPeerConnection, RTCSessionDescription

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
    channel.on("open", lambda *_: event.set())
    if channel.ready_state != "open":
        await event.wait()


async def _gathered(peer: Any) -> str:
    event = asyncio.Event()
    peer.on("icegatheringstatechange", lambda *_: event.set())
    while peer.ice_gathering_state != "complete":
        await event.wait()
        event.clear()
    sdp: str = peer.local_description.sdp
    return sdp


async def send(seconds: float, trips: int, sizes: list[int]) -> None:
    """Offer, send messages of each size for so long, then time round trips."""
    peer = RTCPeerConnection()
    _say("ready")
    await _stdin()
    asked = time.perf_counter()
    bulk, echo = peer.create_data_channel("bulk"), peer.create_data_channel("echo")
    low = asyncio.Event()
    bulk.buffered_amount_low_threshold = LOW
    bulk.on("bufferedamountlow", lambda *_: low.set())
    replies: asyncio.Queue[Any] = asyncio.Queue()
    bulk.on("message", lambda event: replies.put_nowait(event.data))
    echo.on("message", lambda event: replies.put_nowait(event.data))
    await peer.set_local_description(await peer.create_offer())
    _say(await _gathered(peer))
    await peer.set_remote_description(RTCSessionDescription(sdp=await _stdin(), type="answer"))
    await _opened(bulk)
    opened = time.perf_counter() - asked
    await _opened(echo)
    runs = []
    for size in sizes:
        message, sent = bytes(size), 0
        busy, began = time.process_time(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            bulk.send(message)
            sent += size
            if bulk.buffered_amount > HIGH:
                low.clear()
                await low.wait()
        bulk.send(str(sent))
        far = float(await replies.get())
        took = time.perf_counter() - began
        runs.append({"bytes": sent, "seconds": took, "cpu_s": time.process_time() - busy + far})
    times = []
    for _ in range(trips):
        start = time.perf_counter()
        echo.send(bytes(100))
        await replies.get()
        times.append(time.perf_counter() - start)
    _say({"runs": runs, "trips": times, "open_s": opened})
    peer.close()


async def receive() -> None:
    """Answer, count what comes on one channel, send back what comes on the other."""
    peer = RTCPeerConnection()
    closed = asyncio.Event()
    got, busy = 0, time.process_time()

    def on_channel(event: Any) -> None:
        channel = event.channel

        def on_bulk(event: Any) -> None:
            nonlocal got, busy
            message = event.data
            if isinstance(message, str):
                assert got == int(message)
                used = time.process_time() - busy
                got = 0
                channel.send(str(used))
                return
            if not got:
                busy = time.process_time()
            got += len(message)

        channel.on("message", on_bulk if channel.label == "bulk" else lambda event: channel.send(event.data))
        channel.on("close", lambda *_: closed.set())

    peer.on("datachannel", on_channel)
    _say("ready")
    await peer.set_remote_description(RTCSessionDescription(sdp=await _stdin(), type="offer"))
    await peer.set_local_description(await peer.create_answer())
    _say(await _gathered(peer))
    await closed.wait()
    peer.close()


if __name__ == "__main__":
    asyncio.run(
        send(float(sys.argv[2]), int(sys.argv[3]), [int(size) for size in sys.argv[4:]])
        if sys.argv[1] == "send"
        else receive()
    )
