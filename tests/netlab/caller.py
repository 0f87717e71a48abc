"""The Python viewer of the matrix, in a place: calls a camera whenever it is told to, and says how that went.

caller.py THING, with PLAIT_HUB and PLAIT_TOKEN. For each line of standard input one call; for each one line
of JSON: `open` and `frame`, seconds to an open channel and to a whole keyframe, and `path`, or `error`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress

from plait import app
from plait.rtc import RtcError
from plait.wire.errors import PlaitError

WITHIN = 35.0
SETTLES = 2.0
"""Seconds that a relayed path has to become a direct one."""


def tell(**members) -> None:
    print(json.dumps(members), flush=True)  # noqa: T201 - to who started it


async def path(peer) -> list[dict]:
    """Return the local and the remote candidate in use."""
    report = await peer.stats()
    pair = report["CP"]
    return [report[pair["localCandidateId"]], report[pair["remoteCandidateId"]]]


async def call(thing) -> dict:
    """Call once."""
    began, seen = time.perf_counter(), {}
    async with asyncio.timeout(WITHIN), thing.call() as calling:
        video = calling.receive("video")

        async def first() -> None:
            async for frame in video:
                if frame.keyframe:
                    seen["frame"] = time.perf_counter() - began
                    return

        async def opened() -> None:
            await calling.channel("echo")
            seen["open"] = time.perf_counter() - began

        await asyncio.gather(first(), opened())
        until = time.perf_counter() + SETTLES
        while True:
            seen["path"] = await path(calling.peer)
            relayed = "relay" in [end["candidateType"] for end in seen["path"]]
            if not relayed or time.perf_counter() > until:
                return seen
            await asyncio.sleep(0.25)


async def main() -> None:
    loop = asyncio.get_running_loop()
    async with app.connect() as home:
        thing = await home.wait_for(sys.argv[1], timeout=30)
        await thing.online(timeout=30)
        tell(ready=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            try:
                # The device's connection may just have been lost with its network.
                await thing.online(timeout=30)
                await thing.read("state")
                tell(**await call(thing))
            except (PlaitError, RtcError, TimeoutError) as error:
                tell(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
