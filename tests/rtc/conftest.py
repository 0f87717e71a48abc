"""Two peers of one process, joined by hand-carried signaling."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from plait.rtc import EncodedFrame, PeerConnection

if TYPE_CHECKING:
    from plait.rtc import IceCandidate

WITHIN = 15


async def join(offerer: PeerConnection, answerer: PeerConnection, *, keep=lambda _line: True) -> None:
    """Negotiate and connect; `keep` chooses which candidates travel."""

    def carry(to: PeerConnection):
        def on_candidate(candidate: IceCandidate | None) -> None:
            if candidate is None or keep(candidate.candidate):
                to.add_ice_candidate(candidate)

        return on_candidate

    def chosen(description):
        lines = description.sdp.splitlines()
        kept = [line for line in lines if not line.startswith("a=candidate") or keep(line)]
        return type(description)(description.type, "\r\n".join(kept) + "\r\n")

    offerer.on_ice_candidate = carry(answerer)
    answerer.on_ice_candidate = carry(offerer)
    answer = await answerer.accept(chosen(await offerer.create_offer()))
    await offerer.set_answer(chosen(answer))
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(offerer.connected(), answerer.connected())


async def incoming(peer: PeerConnection) -> asyncio.Queue:
    """Queue what `on_data_channel` gets."""
    queue: asyncio.Queue = asyncio.Queue()
    peer.on_data_channel = queue.put_nowait
    return queue


async def open_channel(a: PeerConnection, b: PeerConnection, **options):
    """Join the two with one channel, and return both ends of it."""
    queue = await incoming(b)
    mine = a.create_data_channel("test", **options)
    await join(a, b)
    async with asyncio.timeout(WITHIN):
        await mine.opened()
        return mine, await queue.get()


@pytest.fixture
async def peers():
    async with PeerConnection() as a, PeerConnection() as b:
        yield a, b


@pytest.fixture
def joined():
    return join


@pytest.fixture
def channel_pair():
    return open_channel


@pytest.fixture(scope="session")
def h264() -> list[EncodedFrame]:
    """The first 60 frames of the street as Annex B access units."""
    source = Path(__file__).parents[2] / "src/plait/media/clips/street.mp4"
    frames = []
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        convert = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in container.demux(stream):
            for unit in convert.filter(packet) if packet.size else []:
                timestamp = int(unit.pts * unit.time_base * 90000)
                frames.append(EncodedFrame(bytes(unit), timestamp, unit.is_keyframe, "H264"))
            if len(frames) >= 60:
                break
    return frames
