"""Encoded H.264 sent on as it is: a sender on plait.rtc or on aiortc, and a receiver on plait.rtc for both.

JSON lines. The sender: an offer out, an answer in, then `{"cpu": share of a core, "frames": sent}` out. The
receiver: an offer in, an answer out, then for each line in the number of frames received so far.
"""

from __future__ import annotations

import asyncio
import fractions
import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from plait.rtc import EncodedFrame, PeerConnection, SessionDescription

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT, RATE, BIT_RATE = 1280, 720, 30, 2_000_000
CLOCK = 90_000
WARM_UP = 1.0


def frames() -> list[tuple[bytes, bool]]:
    """Return two seconds of 720p30 at about 2 Mbit/s, as Annex B access units; the first is a keyframe."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.bit_rate, codec.framerate = BIT_RATE, fractions.Fraction(RATE)
    codec.time_base = fractions.Fraction(1, RATE)
    codec.gop_size = 2 * RATE
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT * 3 // 2, WIDTH * 2), dtype=np.uint8)
    shaded = (noise >> 3) + np.linspace(0, 200, WIDTH * 2, dtype=np.uint8)
    units = []
    for number in range(2 * RATE):
        picture = np.ascontiguousarray(shaded[:, number * 8 : number * 8 + WIDTH])
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        units += [(bytes(packet), packet.is_keyframe) for packet in codec.encode(frame)]
    return units


async def _lines() -> Callable[[], Any]:
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def read() -> Any:
        return json.loads(await reader.readline())

    return read


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


class Pace:
    """Gives the pictures one at a time, when each is due."""

    def __init__(self, units: list[tuple[bytes, bool]]) -> None:
        self.units = units
        self.number = 0
        self.began = time.perf_counter()

    async def next(self) -> tuple[bytes, bool, int]:
        """Wait for the next picture; returns it, whether it is a keyframe, and its time (90 kHz)."""
        due = self.began + self.number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        data, keyframe = self.units[self.number % len(self.units)]
        number, self.number = self.number, self.number + 1
        return data, keyframe, number * CLOCK // RATE


async def _measure(pace: Pace, seconds: float) -> None:
    await asyncio.sleep(WARM_UP)
    busy, began, before = time.process_time(), time.perf_counter(), pace.number
    await asyncio.sleep(seconds)
    share = (time.process_time() - busy) / (time.perf_counter() - began)
    _say({"cpu": share, "frames": pace.number - before})


async def send_plait(seconds: float) -> None:
    """Send by `Transceiver.send`."""
    pace = Pace(frames())
    read = await _lines()
    async with PeerConnection() as peer:
        line = peer.add_transceiver("video", direction="sendonly", codecs=("H264",))
        _say((await peer.create_offer()).sdp)
        await peer.set_answer(SessionDescription("answer", await read()))
        await peer.connected()

        async def play() -> None:
            while True:
                data, keyframe, timestamp = await pace.next()
                line.send(EncodedFrame(data, timestamp, keyframe, "H264"))

        pace.began = time.perf_counter()
        playing = asyncio.create_task(play())
        await _measure(pace, seconds)
        playing.cancel()


async def send_aiortc(seconds: float) -> None:
    """Send by a track that gives packets, which aiortc passes on without encoding."""
    library = importlib.import_module("aiortc")
    pace = Pace(frames())
    read = await _lines()

    class Track(library.MediaStreamTrack):  # type: ignore[name-defined, misc]
        kind = "video"

        async def recv(self) -> av.Packet[Any]:
            data, _, timestamp = await pace.next()
            packet = av.Packet(data)
            packet.pts, packet.time_base = timestamp, fractions.Fraction(1, CLOCK)
            return packet

    peer = library.RTCPeerConnection()
    line = peer.addTransceiver(Track(), direction="sendonly")
    known = library.RTCRtpSender.getCapabilities("video").codecs
    line.setCodecPreferences([codec for codec in known if codec.mimeType == "video/H264"])
    connected = asyncio.Event()
    peer.on("connectionstatechange", connected.set)
    await peer.setLocalDescription(await peer.createOffer())
    _say(peer.localDescription.sdp)
    answer = library.RTCSessionDescription(sdp=await read(), type="answer")
    pace.began = time.perf_counter()
    await peer.setRemoteDescription(answer)
    while peer.connectionState != "connected":
        connected.clear()
        await connected.wait()
    await _measure(pace, seconds)
    await peer.close()


async def receive() -> None:
    """Count what comes."""
    read = await _lines()
    async with PeerConnection() as peer:
        answer = await peer.accept(SessionDescription("offer", await read()))
        line = peer.transceivers[0]
        count = 0

        async def take() -> None:
            nonlocal count
            async for _ in line:
                count += 1

        taking = asyncio.create_task(take())
        _say(answer.sdp)
        await read()
        _say(count)
        taking.cancel()


if __name__ == "__main__":
    ROLES = {"plait": send_plait, "aiortc": send_aiortc}
    asyncio.run(receive() if sys.argv[1] == "receive" else ROLES[sys.argv[1]](float(sys.argv[2])))
