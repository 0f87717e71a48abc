"""Interop with aiortc, a WebRTC stack that shares no code with ours: both roles, channels and media."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiortc
import pytest

from plait.rtc import EncodedFrame, PeerConnection, SessionDescription

WITHIN = 20
CODECS = {"H264": ("video", "video/H264"), "VP8": ("video", "video/VP8"), "opus": ("audio", "audio/opus")}


@asynccontextmanager
async def both():
    """Give one of theirs and one of ours, and close them."""
    theirs = aiortc.RTCPeerConnection()
    try:
        async with PeerConnection() as ours:
            yield theirs, ours
    finally:
        await theirs.close()


async def offer_ours(theirs: Any, ours: PeerConnection) -> None:
    offer = await ours.create_offer()
    await theirs.setRemoteDescription(aiortc.RTCSessionDescription(sdp=offer.sdp, type="offer"))
    await theirs.setLocalDescription(await theirs.createAnswer())
    await ours.set_answer(SessionDescription("answer", theirs.localDescription.sdp))


async def offer_theirs(theirs: Any, ours: PeerConnection) -> None:
    await theirs.setLocalDescription(await theirs.createOffer())
    answer = await ours.accept(SessionDescription("offer", theirs.localDescription.sdp))
    await theirs.setRemoteDescription(aiortc.RTCSessionDescription(sdp=answer.sdp, type="answer"))


@pytest.mark.parametrize("ours_opens", [True, False])
@pytest.mark.parametrize("negotiate", [offer_ours, offer_theirs])
async def test_channels_both_ways(negotiate, ours_opens):
    messages = ["text é", b"bytes", b"\x00" * 60_000, *(str(number) for number in range(100))]
    got: asyncio.Queue = asyncio.Queue()
    async with both() as (theirs, ours), asyncio.timeout(WITHIN):
        first = ours.create_data_channel("first")
        their_first, opened = theirs.createDataChannel("first"), asyncio.Event()
        their_first.on("open", opened.set)
        made: asyncio.Queue = asyncio.Queue()
        if ours_opens:
            theirs.on("datachannel", made.put_nowait)
        else:
            ours.on_data_channel = made.put_nowait
        await negotiate(theirs, ours)
        far = await made.get()
        assert far.label == "first"
        if ours_opens:
            far.on("message", far.send)
            for message in messages:
                await first.send(message)
            assert [await first.receive() for _ in messages] == messages
        else:
            far.on_message = far.send_nowait
            their_first.on("message", got.put_nowait)
            if their_first.readyState != "open":
                await opened.wait()
            for message in messages:
                their_first.send(message)
            assert [await got.get() for _ in messages] == messages


async def echo(line: Any, seen: list[Any]) -> None:
    """Send back every frame of a line."""
    line.on_keyframe_request = line.request_keyframe
    async for frame in line:
        seen.append(frame)
        line.send(frame)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("negotiate", [offer_ours, offer_theirs])
async def test_frames_there_and_back(negotiate, codec):
    """aiortc encodes, we take the encoded frames and send them back, and aiortc decodes them."""
    kind, name = CODECS[codec]
    async with both() as (theirs, ours), asyncio.timeout(WITHIN):
        track = aiortc.VideoStreamTrack() if kind == "video" else aiortc.AudioStreamTrack()
        returned: asyncio.Queue = asyncio.Queue()
        theirs.on("track", returned.put_nowait)
        if negotiate is offer_ours:
            ours.add_transceiver(kind, codecs=(codec,))
            theirs.addTrack(track)
        else:
            known = aiortc.RTCRtpSender.getCapabilities(kind).codecs
            chosen = [one for one in known if one.mimeType == name]
            theirs.addTransceiver(track, direction="sendrecv").setCodecPreferences(chosen)
        await negotiate(theirs, ours)
        line = next(line for line in ours.transceivers if line.kind == kind)
        seen: list[Any] = []
        echoing = asyncio.create_task(echo(line, seen))
        back = await returned.get()
        for _ in range(5):
            frame = await back.recv()
            if kind == "video":
                assert (frame.width, frame.height) == (640, 480)
            else:
                assert frame.samples > 0
        echoing.cancel()
        with suppress(asyncio.CancelledError):
            await echoing
        assert {frame.codec for frame in seen} == {codec}
        assert all(b.timestamp > a.timestamp for a, b in itertools.pairwise(seen))
        if kind == "video":
            assert seen[0].keyframe
        track.stop()


async def test_a_line_is_added_later_and_changed():
    """Each end in turn adds one and offers again; then ours stops sending."""
    async with both() as (theirs, ours), asyncio.timeout(WITHIN):
        channel = ours.create_data_channel("first")
        await offer_ours(theirs, ours)
        await channel.opened()
        came: asyncio.Queue = asyncio.Queue()
        ours.on_track = came.put_nowait
        track = aiortc.AudioStreamTrack()
        theirs.addTransceiver(track, direction="sendonly")
        await offer_theirs(theirs, ours)
        line = await came.get()
        assert line.current_direction == "recvonly"
        packets = [await line.receive() for _ in range(5)]
        assert packets[0].codec == "opus"
        returned: asyncio.Queue = asyncio.Queue()
        theirs.on("track", returned.put_nowait)
        mine = ours.add_transceiver("audio", direction="sendonly")
        await offer_ours(theirs, ours)
        heard = await returned.get()

        async def push() -> None:
            for number in itertools.count():
                mine.send(EncodedFrame(packets[-1].data, number * 960, codec="opus"))
                await asyncio.sleep(0.01)

        pushing = asyncio.create_task(push())
        assert (await heard.recv()).samples > 0
        mine.direction = "inactive"
        await offer_ours(theirs, ours)
        assert mine.current_direction == "inactive"
        await line.receive()
        pushing.cancel()
        track.stop()
