"""One end of the channel benchmarks, whichever library it stands on: `python -m benchmarks._channel_NAME`.

Speaks JSON lines. The offerer: "ready" out, a line in to begin, an offer out, an answer in, the results out.
The answerer: "ready" out, an offer in, an answer out, and its end when the far end closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

HIGH, LOW = 1 << 20, 256 << 10
"""Bytes: as plait.rtc does by itself, the others hold back above one and go on below the other."""


class Channel(Protocol):
    """A data channel."""

    label: str

    async def send(self, data: bytes | str) -> None:
        """Send, and wait while more than `HIGH` bytes wait already."""

    def send_now(self, data: bytes | str) -> None:
        """Send from a callback."""

    async def receive(self) -> bytes | str:
        """Return the next message."""

    def listen(self, take: Callable[[bytes | str], None]) -> None:
        """Have each message from now on taken by this."""


class Peer(Protocol):
    """A peer connection."""

    def channel(self, label: str) -> Channel:
        """Make a channel, before the offer."""

    def on_channel(self, take: Callable[[Channel], None]) -> None:
        """Have each channel that the far end makes taken by this."""

    async def offer(self) -> str:
        """Return an offer with its candidates."""

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer, with its candidates."""

    async def take(self, answer: str) -> None:
        """Take the answer."""

    async def opened(self, channel: Channel) -> None:
        """Wait until a channel is open."""

    async def closed(self) -> None:
        """Wait until the far end has closed."""

    async def close(self) -> None:
        """Close."""


async def _heard() -> str:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    text: str = json.loads(line)
    return text


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def _send(peer: Peer, seconds: float, trips: int, sizes: list[int]) -> None:
    """Offer, send messages of each size for so long, then time round trips of 100 bytes."""
    _say("ready")
    await _heard()
    asked = time.perf_counter()
    bulk, echo = peer.channel("bulk"), peer.channel("echo")
    _say(await peer.offer())
    await peer.take(await _heard())
    await peer.opened(bulk)
    opened = time.perf_counter() - asked
    await peer.opened(echo)
    runs = [await _bulk(bulk, seconds, size) for size in sizes]
    times = []
    for _ in range(trips):
        start = time.perf_counter()
        await echo.send(bytes(100))
        await echo.receive()
        times.append(time.perf_counter() - start)
    _say({"runs": runs, "trips": times, "open_s": opened})


async def _bulk(bulk: Channel, seconds: float, size: int) -> dict[str, float]:
    message, sent = bytes(size), 0
    busy, began = time.process_time(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(16):
            await bulk.send(message)
        sent += 16 * size
    await bulk.send(str(sent))
    far = float(await bulk.receive())
    took = time.perf_counter() - began
    return {"bytes": sent, "seconds": took, "cpu_s": time.process_time() - busy + far}


async def _receive(peer: Peer) -> None:
    """Answer, count what comes on one channel, send back what comes on the other."""

    def take(channel: Channel) -> None:
        channel.listen(_counting(channel) if channel.label == "bulk" else channel.send_now)

    peer.on_channel(take)
    _say("ready")
    _say(await peer.answer(await _heard()))
    await peer.closed()


def _counting(channel: Channel) -> Callable[[bytes | str], None]:
    """Count bytes; a text says how many there were, and is answered by the CPU seconds that they took."""
    got, busy = 0, 0.0

    def take(message: bytes | str) -> None:
        nonlocal got, busy
        if isinstance(message, str):
            assert got == int(message)
            got = 0
            channel.send_now(str(time.process_time() - busy))
            return
        if not got:
            busy = time.process_time()
        got += len(message)

    return take


def main(make: Callable[[], Peer]) -> None:
    """Be the end that the arguments name: `send SECONDS TRIPS SIZE…` or `receive`."""

    async def run() -> None:
        peer = make()
        if sys.argv[1] == "send":
            await _send(peer, float(sys.argv[2]), int(sys.argv[3]), [int(size) for size in sys.argv[4:]])
        else:
            await _receive(peer)
        await peer.close()

    asyncio.run(run())
