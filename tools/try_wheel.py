"""Whether a wheel works with the Python that runs this: two peers, a channel, messages there and back.

It wants plait and Python's own library, nothing else, so that it runs in a bare venv, or under an emulator
with another processor's Python:

    python3.13 -m venv /tmp/bare && /tmp/bare/bin/pip install --no-deps dist/plait-*x86_64.whl
    /tmp/bare/bin/python -I tools/try_wheel.py
"""

from __future__ import annotations

import asyncio
import platform
import time
from pathlib import Path

import plait
from plait.rtc import PeerConnection

MESSAGES = ("héllo ☃", b"\x00\xff", "", b"x" * 65536)
WITHIN = 60  # s; an emulator takes its time


async def loopback() -> tuple[float, float]:
    """Two peers of this process on loopback.

    Returns:
        Seconds from the offer to the open channel, and for all messages there and back.
    """
    async with PeerConnection() as caller, PeerConnection() as callee:
        caller.on_ice_candidate = callee.add_ice_candidate
        callee.on_ice_candidate = caller.add_ice_candidate
        came: asyncio.Queue = asyncio.Queue()
        callee.on_data_channel = came.put_nowait
        begun = time.monotonic()
        mine = caller.create_data_channel("try")
        await caller.set_answer(await callee.accept(await caller.create_offer()))
        await mine.opened()
        theirs = await came.get()
        opened = time.monotonic()
        for message in MESSAGES:
            await mine.send(message)
            await theirs.send(await theirs.receive())
            back = await mine.receive()
            if back != message:
                raise SystemExit(f"sent {message[:20]!r}, and {back[:20]!r} came back")
        return opened - begun, time.monotonic() - opened


async def main() -> None:
    """Try it, and print one line that tells where and how fast."""
    async with asyncio.timeout(WITHIN):
        opening, messages = await loopback()
    libc = " ".join(platform.libc_ver())
    print(
        f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}, {libc}: "
        f"open in {opening * 1000:.0f} ms, {len(MESSAGES)} messages both ways in {messages * 1000:.0f} ms "
        f"({Path(plait.__file__).parent})"
    )


if __name__ == "__main__":
    asyncio.run(main())
