"""One end of the channel benchmark, on plait.rtc. Speaks JSON lines: a description out, one in, a result."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

from plait.rtc import PeerConnection, SessionDescription

if TYPE_CHECKING:
    from plait.rtc import DataChannel


async def _stdin() -> str:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    text: str = json.loads(line)
    return text


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def send(seconds: float, trips: int) -> None:
    """Offer, send for so long, then count round trips."""
    async with PeerConnection() as peer:
        bulk, echo = peer.create_data_channel("bulk"), peer.create_data_channel("echo")
        _say((await peer.create_offer()).sdp)
        await peer.set_answer(SessionDescription("answer", await _stdin()))
        await asyncio.gather(bulk.opened(), echo.opened())
        message, sent = bytes(65536), 0
        busy, began = time.process_time(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            for _ in range(16):
                await bulk.send(message)
            sent += 16 * len(message)
        await bulk.send(str(sent))
        await bulk.receive()
        took, busy = time.perf_counter() - began, time.process_time() - busy
        times = []
        for _ in range(trips):
            start = time.perf_counter()
            await echo.send(message[:100])
            await echo.receive()
            times.append(time.perf_counter() - start)
        _say({"bytes": sent, "seconds": took, "rtt_p50": statistics.median(times), "cpu_s": busy})


async def receive() -> None:
    """Answer, count what comes on one channel, send back what comes on the other."""
    got = 0
    busy = 0.0

    def on_channel(channel: DataChannel) -> None:
        def on_bulk(message: bytes | str) -> None:
            nonlocal got, busy
            busy = busy or time.process_time()
            if isinstance(message, str):
                assert got == int(message)
                busy = time.process_time() - busy
                channel.send_nowait("all")
            else:
                got += len(message)

        channel.on_message = on_bulk if channel.label == "bulk" else channel.send_nowait

    async with PeerConnection() as peer:
        peer.on_data_channel = on_channel
        answer = await peer.accept(SessionDescription("offer", await _stdin()))
        _say(answer.sdp)
        await peer.closed()
    _say({"cpu_s": busy})


if __name__ == "__main__":
    asyncio.run(send(float(sys.argv[2]), int(sys.argv[3])) if sys.argv[1] == "send" else receive())
