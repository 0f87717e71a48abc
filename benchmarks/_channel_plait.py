"""One end of the channel benchmarks, on plait.rtc.

Speaks JSON lines. The offerer: "ready" out, a line in to begin, an offer out, an answer in, the results out.
The answerer: "ready" out, an offer in, an answer out, and its end when the far end closes.
"""

from __future__ import annotations

import asyncio
import json
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


async def send(seconds: float, trips: int, sizes: list[int]) -> None:
    """Offer, send messages of each size for so long, then time round trips."""
    async with PeerConnection() as peer:
        _say("ready")
        await _stdin()
        asked = time.perf_counter()
        bulk, echo = peer.create_data_channel("bulk"), peer.create_data_channel("echo")
        _say((await peer.create_offer()).sdp)
        await peer.set_answer(SessionDescription("answer", await _stdin()))
        await bulk.opened()
        opened = time.perf_counter() - asked
        await echo.opened()
        runs = []
        for size in sizes:
            message, sent = bytes(size), 0
            busy, began = time.process_time(), time.perf_counter()
            while time.perf_counter() - began < seconds:
                for _ in range(16):
                    await bulk.send(message)
                sent += 16 * size
            await bulk.send(str(sent))
            far = float(await bulk.receive())
            took = time.perf_counter() - began
            runs.append({"bytes": sent, "seconds": took, "cpu_s": time.process_time() - busy + far})
        times = []
        for _ in range(trips):
            start = time.perf_counter()
            await echo.send(bytes(100))
            await echo.receive()
            times.append(time.perf_counter() - start)
        _say({"runs": runs, "trips": times, "open_s": opened})


async def receive() -> None:
    """Answer, count what comes on one channel, send back what comes on the other."""
    got, busy = 0, time.process_time()

    def on_channel(channel: DataChannel) -> None:
        def on_bulk(message: bytes | str) -> None:
            nonlocal got, busy
            if isinstance(message, str):
                assert got == int(message)
                used = time.process_time() - busy
                got = 0
                channel.send_nowait(str(used))
                return
            if not got:
                busy = time.process_time()
            got += len(message)

        channel.on_message = on_bulk if channel.label == "bulk" else channel.send_nowait

    async with PeerConnection() as peer:
        peer.on_data_channel = on_channel
        _say("ready")
        answer = await peer.accept(SessionDescription("offer", await _stdin()))
        _say(answer.sdp)
        await peer.closed()


if __name__ == "__main__":
    asyncio.run(
        send(float(sys.argv[2]), int(sys.argv[3]), [int(size) for size in sys.argv[4:]])
        if sys.argv[1] == "send"
        else receive()
    )
