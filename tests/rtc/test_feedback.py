"""Packets that a receiver asks for again (NACK, RFC 4585), and that come again (RTX, RFC 4588)."""

from __future__ import annotations

import asyncio

from plait.rtc import EncodedFrame, PeerConnection

from .paths import bad_path

WITHIN = 25


async def push(line, frames, sent: list[int]) -> None:
    span = frames[-1].timestamp - frames[0].timestamp + 3600
    for turn in range(100):
        for frame in frames:
            sent.append(frame.timestamp + turn * span)
            line.send(EncodedFrame(frame.data, sent[-1], frame.keyframe, "H264"))
            await asyncio.sleep(0.03)


async def test_lost_packets_are_asked_for_and_come_again(h264):
    async with bad_path(5, delay=0.005) as path, PeerConnection() as a, PeerConnection() as b:
        line = a.add_transceiver("video", direction="sendonly")
        await path.join(a, b)
        await path.set(loss=0.05)
        sent: list[int] = []
        pushing = asyncio.create_task(push(line, h264, sent))
        async with asyncio.timeout(WITHIN):
            frames = [await b.transceivers[0].receive() for _ in range(120)]
            while True:
                out, came = (await a.stats())[f"O{line.mid}"], (await b.stats())[f"I{line.mid}"]
                if out["nackCount"] and came["nackCount"] and out["retransmittedPacketsSent"]:
                    break
                await asyncio.sleep(0.1)
        pushing.cancel()
    assert 0 < out["retransmittedBytesSent"] < out["bytesSent"]
    assert [f.timestamp - frames[0].timestamp for f in frames] == [at - sent[0] for at in sent[: len(frames)]]


async def packets_received(a: PeerConnection, b: PeerConnection, h264) -> int:
    """Return how many packets the sender of two seconds of pictures gets meanwhile."""
    line = a.add_transceiver("video", direction="sendonly")
    await a.set_answer(await b.accept(await a.create_offer()))
    await asyncio.gather(a.connected(), b.connected())
    before = (await a.stats())["T"]["packetsReceived"]
    pushing = asyncio.create_task(push(line, h264, []))
    async with asyncio.timeout(WITHIN):
        for _ in range(66):
            await b.transceivers[0].receive()
    pushing.cancel()
    return (await a.stats())["T"]["packetsReceived"] - before


async def test_no_feedback_that_nobody_reads(h264):
    """Transport-wide feedback comes every 50 ms where the sender estimates by it, and only there."""
    async with PeerConnection() as a, PeerConnection() as b:
        without = await packets_received(a, b, h264)
    async with PeerConnection(initial_bitrate=5_000_000) as a, PeerConnection() as b:
        estimating = await packets_received(a, b, h264)
    assert estimating - without > 15
