"""Encoded frames between two engines."""

from __future__ import annotations

import asyncio
import os

import pytest

from plait.rtc import EncodedFrame, NoCommonCodec, PeerConnection


def units(data: bytes) -> list[bytes]:
    """NAL units of an Annex B stream, without access unit delimiters."""
    parts = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [part for part in parts if part and part[0] & 0x1F != 9]


async def call(a: PeerConnection, b: PeerConnection, joined, kind="video", **options):
    sender = a.add_transceiver(kind, direction="sendonly", **options)
    tracks: asyncio.Queue = asyncio.Queue()
    b.on_track = tracks.put_nowait
    await joined(a, b)
    return sender, await asyncio.wait_for(tracks.get(), 10)


async def push(sender, frames, every=0.004):
    for frame in frames:
        assert sender.send(frame)
        await asyncio.sleep(every)


async def test_h264_arrives_nal_for_nal(peers, joined, h264):
    sender, receiver = await call(*peers, joined)
    assert (sender.codec, receiver.codec) == ("H264", "H264")
    assert (sender.direction, receiver.direction) == ("sendonly", "recvonly")
    pushing = asyncio.create_task(push(sender, h264))
    first = None
    async with asyncio.timeout(20):
        for frame in h264:
            received = await receiver.receive()
            assert units(received.data) == units(frame.data)
            assert received.keyframe == frame.keyframe
            assert received.codec == "H264"
            first = received.timestamp - frame.timestamp if first is None else first
            assert received.timestamp - frame.timestamp == first
        await pushing


@pytest.mark.parametrize(("kind", "codec"), [("video", "VP8"), ("audio", "opus")])
async def test_other_codecs_arrive_unchanged(peers, joined, kind, codec):
    sender, receiver = await call(*peers, joined, kind, codecs=(codec,))
    assert sender.codecs == receiver.codecs == (codec,)
    step, size = (3000, 5000) if kind == "video" else (960, 160)
    frames = []
    for number in range(60):
        # VP8: the first bit of the first byte is clear in a keyframe (RFC 7741 section 4.3).
        head = b"\x10\x02\x00\x9d\x01\x2a" if number % 30 == 0 else b"\x31\x02\x00"
        body = (head if kind == "video" else b"\x78") + os.urandom(size)
        frames.append(EncodedFrame(body, number * step, number % 30 == 0, codec))
    pushing = asyncio.create_task(push(sender, frames))
    async with asyncio.timeout(20):
        for frame in frames[:50]:
            received = await receiver.receive()
            assert received.data == frame.data
            assert received.codec == codec
            if kind == "video":
                assert received.keyframe == frame.keyframe
        await pushing


async def test_both_directions_on_one_line(peers, joined, h264):
    a, b = peers
    mine = a.add_transceiver("video")
    await joined(a, b)
    theirs = b.transceivers[0]
    assert mine.direction == theirs.direction == "sendrecv"
    both = [asyncio.create_task(push(line, h264[:10])) for line in (mine, theirs)]
    async with asyncio.timeout(10):
        for line in (mine, theirs):
            assert units((await line.receive()).data) == units(h264[0].data)
        await asyncio.gather(*both)


async def test_the_answerer_sends_where_the_offerer_receives(peers, joined, h264):
    a, b = peers
    mine = a.add_transceiver("video", direction="recvonly")
    await joined(a, b)
    theirs = b.transceivers[0]
    assert theirs.direction == "sendonly"
    pushing = asyncio.create_task(push(theirs, h264[:5]))
    assert units((await asyncio.wait_for(mine.receive(), 10)).data) == units(h264[0].data)
    assert not mine.send(h264[0]), "a receiver must not send"
    await pushing


async def test_keyframe_requests_travel(peers, joined, h264):
    sender, receiver = await call(*peers, joined)
    asked = asyncio.Event()
    sender.on_keyframe_request = asked.set
    pushing = asyncio.create_task(push(sender, h264[:10]))
    await asyncio.wait_for(receiver.receive(), 10)
    receiver.request_keyframe()
    await asyncio.wait_for(asked.wait(), 10)
    await pushing


async def test_several_lines_do_not_mix(peers, joined, h264):
    a, b = peers
    first = a.add_transceiver("video", direction="sendonly")
    second = a.add_transceiver("video", direction="sendonly")
    sound = a.add_transceiver("audio", direction="sendonly")
    await joined(a, b)
    by_mid = {line.mid: line for line in b.transceivers}
    assert list(by_mid) == [first.mid, second.mid, sound.mid]
    opus = EncodedFrame(b"\x78" + os.urandom(100), 0, codec="opus")
    async with asyncio.timeout(10):
        # Two frames each: a frame is complete when the next begins.
        for frame in h264[:3]:
            assert first.send(frame)
        for frame in h264[10:13]:
            assert second.send(frame)
        for number in range(20):
            assert sound.send(EncodedFrame(opus.data, number * 960, codec="opus"))
        assert units((await by_mid[first.mid].receive()).data) == units(h264[0].data)
        assert units((await by_mid[second.mid].receive()).data) == units(h264[10].data)
        assert (await by_mid[sound.mid].receive()).data == opus.data


async def test_frames_that_cannot_go_out_are_refused_not_raised(peers, joined, h264):
    a, b = peers
    line = a.add_transceiver("video", direction="sendonly", codecs=("VP8",))
    assert not line.send(h264[0]), "not connected"
    await joined(a, b)
    with pytest.raises(NoCommonCodec, match="we would send H264; the far end takes VP8"):
        line.send(h264[0])
    await a.close()
    assert not line.send(EncodedFrame(b"\x10\x02\x00\x9d\x01\x2a", 0, True, "VP8")), "closed"


async def test_bad_frames_harm_nobody(peers, joined, h264):
    sender, receiver = await call(*peers, joined)
    for data in (b"", b"\x00", b"\x00\x00\x01", os.urandom(2000), b"\x00\x00\x00\x01\x67", bytes(70000)):
        sender.send(EncodedFrame(data, 0, codec="H264"))
        sender.send(EncodedFrame(data, 2**64 - 1, codec="H264"))
    with pytest.raises(OverflowError):
        sender.send(EncodedFrame(b"x", -1, codec="H264"))
    pushing = asyncio.create_task(push(sender, h264))
    async with asyncio.timeout(15):
        while units((await receiver.receive()).data) != units(h264[10].data):
            pass
        await pushing


async def test_a_slow_reader_gets_whole_groups_of_pictures(peers, joined, h264):
    sender, receiver = await call(*peers, joined)
    await push(sender, h264, 0.002)
    # Again, with timestamps that go on, until far more is on the way than may wait.
    span = h264[-1].timestamp + 3600
    for turn in range(1, 4):
        again = [EncodedFrame(f.data, f.timestamp + turn * span, f.keyframe, f.codec) for f in h264]
        await push(sender, again, 0.002)
    await asyncio.sleep(0.3)
    assert receiver.frames_dropped > 0
    assert (await asyncio.wait_for(receiver.receive(), 5)).keyframe


async def test_reading_ends_with_the_connection(peers, joined):
    a, b = peers
    _, receiver = await call(a, b, joined)

    async def read():
        return [frame async for frame in receiver]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await a.close()
    assert await asyncio.wait_for(reading, 10) == []


async def test_no_codec_in_common_leaves_the_line_without_one(joined):
    async with PeerConnection(codecs=["VP9"]) as a, PeerConnection(codecs=["H264"]) as b:
        line = a.add_transceiver("video", direction="sendonly")
        a.create_data_channel("keeps the connection")
        await joined(a, b)
        assert line.codec is None
        with pytest.raises(NoCommonCodec) as caught:
            line.send(EncodedFrame(b"x", 0, codec="VP9"))
        assert (caught.value.ours, caught.value.theirs) == (("VP9",), ())
