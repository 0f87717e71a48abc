"""A camera, a relay, its viewers and a bad path to one of them, for the tests of forwarding."""

from __future__ import annotations

import asyncio
import fractions
import random
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from plait.rtc import EncodedFrame, PeerConnection, SessionDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plait.rtc import Forwarding, Transceiver

RATE = 30
WITHIN = 15


def encoded(
    name: str,
    codec: str,
    count: int,
    size: tuple[int, int] = (320, 240),
    bit_rate: int = 800_000,
    **options: str,
) -> list[EncodedFrame]:
    """Encode moving noise: as many bits as asked for, whatever the picture size."""
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.bit_rate, encoder.framerate = bit_rate, fractions.Fraction(RATE)
    encoder.time_base = fractions.Fraction(1, RATE)
    encoder.gop_size = count
    encoder.options = options
    noise = np.random.default_rng(1).integers(0, 255, (size[1] * 3 // 2, size[0] * 2), dtype=np.uint8)
    frames = []
    for number in range(count + 1):
        picture = np.ascontiguousarray(noise[:, (number * 4) % size[0] :][:, : size[0]])
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p") if number < count else None
        if frame is not None:
            frame.pts = number
        frames += [EncodedFrame(bytes(p), 0, p.is_keyframe, codec) for p in encoder.encode(frame)]
    return frames


def decodes(frames: Sequence[EncodedFrame]) -> int:
    """Count the pictures that come out of a decoder."""
    decoder = av.CodecContext.create({"H264": "h264", "VP8": "vp8"}[frames[0].codec], "r")
    pictures = sum(len(decoder.decode(av.Packet(frame.data))) for frame in frames)
    return pictures + len(decoder.decode(None))


async def until(true: Callable[[], object], what: str, within: float = WITHIN) -> None:
    """Wait for something that tells nobody when it comes."""
    try:
        async with asyncio.timeout(within):
            while not true():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {within} s: {what}") from None


class Camera:
    """Sends frames round and round at 30 a second, from the first on where a keyframe is asked for."""

    def __init__(self, frames: Sequence[EncodedFrame], *, answers: bool = True) -> None:
        self.frames = frames
        self.peer = PeerConnection()
        self.line = self.peer.add_transceiver("video", direction="sendonly", codecs=(frames[0].codec,))
        self.line.on_keyframe_request = self._asked
        self.answers = answers
        self.requests: list[float] = []
        self.sent = 0
        self._next = 0

    def _asked(self) -> None:
        self.requests.append(asyncio.get_running_loop().time())
        if self.answers:
            self._next = 0

    async def play(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            frame = self.frames[self._next % len(self.frames)]
            self._next += 1
            self.sent += self.line.send(replace(frame, timestamp=int((loop.time() - began) * 90_000)))
            await asyncio.sleep(max(0.0, began + self.sent / RATE - loop.time()))


class Viewer:
    """The far end of what is forwarded, with all that came."""

    def __init__(self, near: PeerConnection, far: PeerConnection, forwarding: Forwarding) -> None:
        self.near = near
        self.far = far
        self.forwarding = forwarding
        self.frames: list[EncodedFrame] = []

    async def watch(self) -> None:
        async for frame in self.far.transceivers[0]:
            self.frames.append(frame)

    async def got(self, more: int) -> None:
        """Wait for so many more frames."""
        count = len(self.frames) + more
        await until(lambda: len(self.frames) >= count, f"{count} frames, {len(self.frames)} came")

    async def told(self, true: Callable[[dict], object], what: str) -> dict:
        """Wait until this viewer's statistics are so, and return them."""
        stats: dict = {}
        try:
            async with asyncio.timeout(WITHIN):
                while not (stats and true(stats)):
                    await asyncio.sleep(0.1)
                    stats = await self.forwarding.stats()
        except TimeoutError:
            raise AssertionError(f"not within {WITHIN} s: {what}; {stats}") from None
        return stats


class BadPath:
    """Two UDP ports between two ends, with loss and a token bucket from the first to the second."""

    def __init__(self, loss: float = 0.0, bits: int | None = None) -> None:
        self.loss = loss
        self.bits = bits
        self.dropped = 0
        self._chance = random.Random(1)
        self._tokens = 0.0
        self._at = 0.0
        self._ends: list[tuple[str, int]] = []
        self._ports: list[socket.socket] = []
        loop = asyncio.get_running_loop()
        for index in (0, 1):
            port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            port.setblocking(False)
            port.bind(("127.0.0.1", 0))
            self._ports.append(port)
            loop.add_reader(port, self._carry, index)

    def close(self) -> None:
        for port in self._ports:
            asyncio.get_running_loop().remove_reader(port)
            port.close()

    def through(self, description: SessionDescription) -> SessionDescription:
        """Put one of the ports in the place of the candidates; the first description is the first end's."""
        lines = description.sdp.splitlines()
        candidates = [line for line in lines if line.startswith("a=candidate:")]
        fields = next(line.split() for line in candidates if line.split()[4] == "127.0.0.1")
        port = self._ports[len(self._ends)].getsockname()
        self._ends.append((fields[4], int(fields[5])))
        mine = f"a=candidate:1 1 udp 2130706431 {port[0]} {port[1]} typ host"
        at = lines.index(candidates[0])
        kept = [line for line in lines[:at] if line not in candidates]
        kept += [mine, *(line for line in lines[at:] if line not in candidates)]
        return SessionDescription(description.type, "\r\n".join(kept) + "\r\n")

    def _carry(self, index: int) -> None:
        # Port 0 stands for the first end: what comes in there is from the second.
        while True:
            try:
                datagram = self._ports[index].recv(65536)
            except BlockingIOError:
                return
            if index == 1 and self._drops(len(datagram)):
                self.dropped += 1
            elif len(self._ends) == 2:
                self._ports[1 - index].sendto(datagram, self._ends[index])

    def _drops(self, size: int) -> bool:
        if self.bits is not None:
            now = asyncio.get_running_loop().time()
            # A fifth of a second may be saved up, as in a router's queue.
            self._tokens = min(self._tokens + (now - self._at) * self.bits, self.bits / 5)
            self._at = now
            if self._tokens < size * 8:
                return True
            self._tokens -= size * 8
        return self._chance.random() < self.loss


class Relay:
    """Receives cameras as packets, and forwards them."""

    camera = Camera
    viewer = Viewer
    path = BadPath

    def __init__(self, stack: AsyncExitStack, join) -> None:
        self.stack = stack
        self.join = join

    async def open(self, **options) -> PeerConnection:
        """Make a connection that is closed at the end."""
        return await self.stack.enter_async_context(PeerConnection(**options))

    async def take(self, camera: Camera, path: BadPath | None = None) -> Transceiver:
        """Connect a camera; returns the line that it comes in on."""
        peer = await self.open(packets=True)
        await self.stack.enter_async_context(camera.peer)
        await self.meet(camera.peer, peer, path)
        self.background(camera.play())
        return peer.transceivers[0]

    async def connect(
        self, path: BadPath | None = None, *, codecs: Sequence[str] = ("H264", "VP8"), packets: bool = True
    ) -> tuple[PeerConnection, PeerConnection]:
        """Connect a viewer; returns our end, with a line to send on, and the far one."""
        near, far = await self.open(packets=packets), await self.open()
        near.add_transceiver("video", direction="sendonly", codecs=codecs)
        await self.meet(near, far, path)
        return near, far

    async def meet(self, one: PeerConnection, other: PeerConnection, path: BadPath | None) -> None:
        """Connect two, over a path if there is one."""
        if path is None:
            await self.join(one, other)
            return
        self.stack.callback(path.close)
        answer = await other.accept(path.through(await one.create_offer()))
        await one.set_answer(path.through(answer))
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(one.connected(), other.connected())

    async def show(self, incoming: Transceiver, path: BadPath | None = None, **limits: int) -> Viewer:
        """Connect a viewer and forward to it."""
        near, far = await self.connect(path)
        viewer = Viewer(near, far, await incoming.forward_to(near.transceivers[0], **limits))
        self.background(viewer.watch())
        return viewer

    def background(self, work) -> None:
        task = asyncio.ensure_future(work)

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.stack.push_async_callback(stop)


@pytest.fixture
async def relay(joined):
    async with AsyncExitStack() as stack:
        yield Relay(stack, joined)


@pytest.fixture(scope="session")
def encode():
    return encoded


@pytest.fixture
def decodable():
    return decodes


@pytest.fixture
def eventually():
    return until
