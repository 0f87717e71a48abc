"""Transport-wide congestion control over a path that gets narrow and wide again, and the pacer."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from plait.rtc import EncodedFrame, PeerConnection

from .paths import bad_path

DELAY = 0.02
WISH = 2_500_000
NARROW = 600_000


def vp8(number: int, size: int) -> EncodedFrame:
    """Return picture `number` of 30 a second, each 60th a keyframe (RFC 7741, section 4.3)."""
    keyframe = number % 60 == 0
    head = b"\x10\x02\x00\x9d\x01\x2a" if keyframe else b"\x31\x02\x00"
    return EncodedFrame(head + os.urandom(size), number * 3000, keyframe, "VP8")


class Encoder:
    """Sends pictures of as many bits as the estimate allows."""

    def __init__(self, line, peer: PeerConnection) -> None:
        self._line = line
        self.estimate = 0
        self._changed = asyncio.Event()
        peer.on_bandwidth_estimate = self._on_estimate

    def _on_estimate(self, estimate: int) -> None:
        self.estimate = estimate
        self._changed.set()

    async def until(self, condition, within: float) -> None:
        try:
            async with asyncio.timeout(within):
                while not condition(self.estimate):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"the estimate is {self.estimate} after {within} s")

    async def run(self) -> None:
        number = 0
        while True:
            self._line.send(vp8(number, int(min(self.estimate * 0.9, WISH) / 30 / 8)))
            number += 1
            await asyncio.sleep(1 / 30)


async def read(peer: PeerConnection) -> None:
    async for _ in peer.transceivers[0]:
        pass


async def test_the_estimate_follows_the_path():
    async with (
        bad_path(3, delay=DELAY) as path,
        PeerConnection(codecs=["VP8"], initial_bitrate=300_000) as a,
        PeerConnection(codecs=["VP8"]) as b,
    ):
        encoder = Encoder(a.add_transceiver("video", direction="sendonly"), a)
        a.wish_bitrate(WISH)
        await path.join(a, b)
        tasks = [asyncio.create_task(each) for each in (encoder.run(), read(b))]
        await encoder.until(lambda estimate: estimate > 2 * NARROW, 10)
        await path.set(rate=NARROW)
        await encoder.until(lambda estimate: 0 < estimate < NARROW, 15)
        assert (await a.stats())["CP"]["availableOutgoingBitrate"] == pytest.approx(encoder.estimate, rel=0.5)
        await path.set(rate=0)
        await encoder.until(lambda estimate: estimate > 2 * NARROW, 25)
        for task in tasks:
            task.cancel()


async def seconds_for_a_large_picture(**options) -> float:
    async with PeerConnection(codecs=["VP8"], **options) as a, PeerConnection(codecs=["VP8"]) as b:
        line = a.add_transceiver("video", direction="sendonly")
        answer = await b.accept(await a.create_offer())
        await a.set_answer(answer)
        await asyncio.gather(a.connected(), b.connected())
        begun = time.monotonic()
        line.send(vp8(0, 60_000))
        line.send(vp8(1, 100))  # a picture is whole when the next begins
        async with asyncio.timeout(20):
            await b.transceivers[0].receive()
        return time.monotonic() - begun


async def test_a_large_picture_is_paced():
    """480 kbit at once, or as a path of 300 kbit/s takes them (the pacer sends at most 2 s late)."""
    assert await seconds_for_a_large_picture(initial_bitrate=300_000) > 0.5
    assert await seconds_for_a_large_picture() < 0.5
