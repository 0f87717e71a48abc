"""Packets or frames: `python -m benchmarks.spikes.forward [VIEWERS]` forwards both ways and prints the cost.

Packets: the engine's forwarder. Frames: the source is an ordinary connection, whose frames are put together,
given to Python, and sent to each viewer, which cuts them into packets again. Python's own share is left out:
the figures are the engine thread's processor time and the process's memory, for each viewer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._forward import BATCH, resident
from benchmarks._passthrough import _lines, _say
from benchmarks.channel import said, started, tell
from plait.rtc import EncodedFrame, Forwarder, PeerConnection, SessionDescription

if TYPE_CHECKING:
    from plait.rtc import Transceiver

SECONDS = 6.0


def _engine_seconds() -> float:
    """Return the processor time of the engine's thread."""
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().strip() == "plait-engine":
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    raise RuntimeError("the engine is not running")


async def _copy(incoming: Transceiver, viewers: list[Transceiver]) -> None:
    async for frame in incoming:
        for viewer in viewers:
            viewer.send(EncodedFrame(frame.data, frame.timestamp, frame.keyframe, frame.codec))


async def relay(mode: str) -> None:
    """As `_forward.relay`, in either mode; "count" is answered by the engine's seconds and the memory."""
    read = await _lines()
    packets = mode == "packets"
    async with contextlib.AsyncExitStack() as stack:
        source = await stack.enter_async_context(PeerConnection(packets=packets))
        _say((await source.accept(SessionDescription("offer", await read()))).sdp)
        incoming = source.transceivers[0]
        forwarder = Forwarder(incoming) if packets else None
        viewers: list[Transceiver] = []
        copying = None if packets else asyncio.create_task(_copy(incoming, viewers))
        while True:
            order = await read()
            if isinstance(order, dict):
                new = [PeerConnection(packets=packets) for _ in range(order["add"])]
                lines = []
                for peer in new:
                    await stack.enter_async_context(peer)
                    lines.append(peer.add_transceiver("video", direction="sendonly", codecs=("H264",)))
                _say([(await peer.create_offer()).sdp for peer in new])
                for peer, answer in zip(new, await read(), strict=True):
                    await peer.set_answer(SessionDescription("answer", answer))
                await asyncio.gather(*(peer.connected() for peer in new))
                for line in lines:
                    if forwarder is not None:
                        await forwarder.add(line)
                viewers += lines
                _say(len(viewers))
            else:
                if copying is not None and copying.done():
                    copying.result()
                _say({"engine_s": _engine_seconds(), "resident": resident()})


async def measure(mode: str, count: int) -> dict[str, float]:
    """Return milliseconds of the engine a second, and KiB, for each viewer."""
    async with contextlib.AsyncExitStack() as stack:
        source = await stack.enter_async_context(started("benchmarks._forward", "camera"))
        middle = await stack.enter_async_context(started(__spec__.name, "relay", mode))
        far = await stack.enter_async_context(started("benchmarks._forward", "viewers"))
        await said(source)
        await tell(middle, await said(source))
        await tell(source, await said(middle))

        async def ask(process: Any, what: str) -> Any:
            await tell(process, what)
            return await said(process)

        empty = await ask(middle, "count")
        reached = 0
        while reached < count:
            await tell(far, await ask(middle, {"add": min(BATCH, count - reached)}))
            reached = await ask(middle, await said(far))
        await ask(source, "play")
        await asyncio.sleep(SECONDS)
        begun = await ask(middle, "count")
        await asyncio.sleep(SECONDS)
        ended = await ask(middle, "count")
        return {
            "ms": (ended["engine_s"] - begun["engine_s"]) / SECONDS / count * 1e3,
            "KiB": (ended["resident"] - empty["resident"]) / count / 1024,
        }


async def main(count: int) -> None:
    """Measure both, in turn, three times."""
    for _ in range(3):
        for mode in ("packets", "frames"):
            taken = await measure(mode, count)
            print(f"{mode:8} {taken['ms']:.2f} ms a second and viewer, {taken['KiB']:.0f} KiB a viewer")


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        asyncio.run(relay(sys.argv[2]))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
