"""Connections that come and go leave nothing: neither memory nor descriptors nor threads."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import threading
from pathlib import Path

import psutil
import pytest

from plait.rtc import PeerConnection

_logger = logging.getLogger(__name__)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def resident() -> int:
    """Bytes that this process holds of its own, after what is free has gone back to the system."""
    gc.collect()
    # What the allocator keeps for later is no leak. There is no malloc_trim but glibc's.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
    return psutil.Process().memory_full_info().uss


async def once(channel_pair, h264) -> None:
    """A whole connection: media, a channel, messages both ways, statistics, and its end."""
    async with PeerConnection() as a, PeerConnection() as b:
        sender = a.add_transceiver("video", direction="sendonly")
        mine, theirs = await channel_pair(a, b)
        for frame in h264[:3]:
            sender.send(frame)
        await mine.send(bytes(65536))
        await asyncio.wait_for(theirs.receive(), 10)
        await theirs.send("and back")
        await asyncio.wait_for(mine.receive(), 10)
        await a.stats()


async def forgotten() -> None:
    """One that is dropped in the middle of its handshake."""
    a, b = PeerConnection(), PeerConnection()
    a.create_data_channel("x")
    answer = await b.accept(await a.create_offer())
    await asyncio.gather(a.close(), a.set_answer(answer), return_exceptions=True)
    await b.close()


async def cycle(times: int, channel_pair, h264) -> None:
    for number in range(times):
        await once(channel_pair, h264)
        if number % 5 == 0:
            await forgotten()


async def leaks(times: int, channel_pair, h264, grow: int) -> None:
    await cycle(max(10, times // 10), channel_pair, h264)
    files, threads, memory = descriptors(), threading.active_count(), resident()
    await cycle(times, channel_pair, h264)
    async with asyncio.timeout(10):
        # The engine closes sockets on its own thread, right after its last word to Python.
        while descriptors() > files:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    assert threading.active_count() == threads
    grown = resident() - memory
    _logger.info("%d connections: %d KiB more", times, grown >> 10)
    assert grown < grow, f"{grown / times / 1024:.1f} KiB a connection stayed"


async def test_connections_that_come_and_go_leave_nothing(channel_pair, h264):
    await leaks(60, channel_pair, h264, 4 << 20)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_five_hundred_connections_leave_nothing(channel_pair, h264):
    await leaks(500, channel_pair, h264, 4 << 20)
