"""Connections that do nothing, both ends in this process: prints the memory that each end adds, in KiB.

What a process pays once (libraries, threads, the first connection) is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
from pathlib import Path
from typing import Any

SETTLE = 1.5


async def _plait() -> list[Any]:
    library = importlib.import_module("plait.rtc")
    one, other = library.PeerConnection(), library.PeerConnection()
    channel = one.create_data_channel("idle")
    await one.set_answer(await other.accept(await one.create_offer()))
    await channel.opened()
    return [one, other, channel]


async def _aiortc() -> list[Any]:
    library = importlib.import_module("aiortc")
    one, other = library.RTCPeerConnection(), library.RTCPeerConnection()
    channel = one.createDataChannel("idle")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await one.setLocalDescription(await one.createOffer())
    await other.setRemoteDescription(one.localDescription)
    await other.setLocalDescription(await other.createAnswer())
    await one.setRemoteDescription(other.localDescription)
    await opened.wait()
    return [one, other, channel]


def _memory() -> int:
    """Return this process's anonymous memory in KiB; the pages of libraries come and go with their users."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


async def main(library: str, peers: int) -> None:
    """Open so many, two at a time, and print what each costs."""
    connect = {"plait": _plait, "aiortc": _aiortc}[library]
    kept = [await connect()]
    await asyncio.sleep(SETTLE)
    before = _memory()
    kept += [await connect() for _ in range(peers // 2)]
    await asyncio.sleep(SETTLE)
    print((_memory() - before) / peers, flush=True)
    for one, other, _ in kept:
        await asyncio.gather(one.close(), other.close())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
