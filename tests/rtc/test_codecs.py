"""Every codec, from a real encoder through two peers to a real decoder; what feedback and statistics say."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import av
import numpy as np
import pytest

from plait.rtc import EncodedFrame, NoCommonCodec, PeerConnection

WITHIN = 20
WIDTH, HEIGHT, PICTURES = 320, 240, 45
VIDEO = {
    "H264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "annexb=1"}),
    "H264 high": ("libx264", {"preset": "medium", "bf": "0", "profile": "high", "x264-params": "annexb=1"}),
    "H265": ("libx265", {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"}),
    "VP8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "VP9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    "AV1": ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=1:rc=2:rtc=1"}),
}
DECODERS = {"H264": "h264", "H265": "hevc", "VP8": "vp8", "VP9": "vp9", "AV1": "libdav1d"}


def encoded(name: str) -> list[EncodedFrame]:
    """Moving stripes, with a keyframe every 15 pictures."""
    encoder, options = VIDEO[name]
    context = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
    context.bit_rate, context.gop_size, context.max_b_frames = 800_000, 15, 0
    context.options = options
    frames = []
    for number in range(PICTURES):
        stripes = (np.indices((HEIGHT, WIDTH)).sum(axis=0) * 3 + number * 8) % 256
        picture = av.VideoFrame.from_ndarray(np.dstack([stripes.astype(np.uint8)] * 3), format="rgb24")
        picture = picture.reformat(format="yuv420p")
        picture.pts, picture.time_base = number, Fraction(1, 30)
        frames += context.encode(picture)
    frames += context.encode(None)
    codec = name.partition(" ")[0]
    return [EncodedFrame(bytes(each), each.pts * 3000, each.is_keyframe, codec) for each in frames]


@pytest.mark.parametrize("name", VIDEO)
async def test_every_picture_arrives_and_decodes(joined, name):
    codec = name.partition(" ")[0]
    async with PeerConnection(codecs=[codec]) as a, PeerConnection(codecs=[codec]) as b:
        sender = a.add_transceiver("video", direction="sendonly")
        await joined(a, b)
        receiver = b.transceivers[0]
        assert sender.codecs == receiver.codecs == (codec,)
        frames = encoded(name)
        assert sum(frame.keyframe for frame in frames) >= 2

        async def push() -> None:
            for frame in frames:
                assert sender.send(frame)
                await asyncio.sleep(0.004)
            # A picture is complete when the next begins.
            sender.send(EncodedFrame(frames[0].data, frames[-1].timestamp + 3000, True, codec))

        pushing = asyncio.create_task(push())
        decoder = av.CodecContext.create(DECODERS[codec], "r")
        seen = 0
        async with asyncio.timeout(WITHIN):
            for sent in frames:
                received = await receiver.receive()
                assert received.keyframe == sent.keyframe
                assert received.codec == codec
                for picture in decoder.decode(av.Packet(received.data)):
                    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
                    seen += 1
        await pushing
        seen += len(decoder.decode(None))
        assert seen == len(frames) == PICTURES


async def test_opus_arrives_and_decodes(peers, joined):
    a, b = peers
    sender = a.add_transceiver("audio", direction="sendonly")
    await joined(a, b)
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.format, context.layout = 48_000, "s16", "stereo"
    packets = []
    for number in range(50):
        wave = (np.sin(np.arange(1920) * 0.05) * 8000).astype(np.int16).reshape(1, -1)
        sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="stereo")
        sound.sample_rate, sound.pts = 48_000, number * 960
        packets += context.encode(sound)
    decoder = av.CodecContext.create("libopus", "r")
    samples = 0
    for number, packet in enumerate(packets):
        assert sender.send(EncodedFrame(bytes(packet), number * 960, True, "opus"))
    async with asyncio.timeout(WITHIN):
        for packet in packets[:-5]:
            received = await b.transceivers[0].receive()
            assert received.data == bytes(packet)
            assert received.keyframe, "sound is decodable from any packet on"
            samples += sum(sound.samples for sound in decoder.decode(av.Packet(received.data)))
    assert samples >= 40 * 960


async def test_two_ends_with_other_lists_meet_in_the_common_one(joined):
    async with (
        PeerConnection(codecs=["AV1", "VP9", "H264"]) as a,
        PeerConnection(codecs=["VP8", "H264"]) as b,
    ):
        line = a.add_transceiver("video", direction="sendonly")
        await joined(a, b)
        assert line.codecs == ("H264",)
        with pytest.raises(NoCommonCodec) as caught:
            line.send(EncodedFrame(b"x", 0, codec="AV1"))
        assert caught.value.ours == ("AV1",)
        assert caught.value.theirs == ("H264",)
        assert str(caught.value) == "we would send AV1; the far end takes H264"


async def test_the_answerer_hears_the_whole_list_of_the_far_end(joined):
    async with PeerConnection(codecs=["VP9", "VP8"]) as a, PeerConnection(codecs=["VP8"]) as b:
        a.add_transceiver("video", direction="recvonly")
        await joined(a, b)
        with pytest.raises(NoCommonCodec, match="we would send H265; the far end takes VP9, VP8"):
            b.transceivers[0].send(EncodedFrame(b"x", 0, codec="H265"))


async def test_reports_and_requests_are_counted(peers, joined, h264):
    a, b = peers
    mine = a.add_transceiver("video")
    await joined(a, b)
    theirs = b.transceivers[0]
    asked: asyncio.Queue = asyncio.Queue()
    mine.on_keyframe_request = lambda: asked.put_nowait("mine")
    theirs.on_keyframe_request = lambda: asked.put_nowait("theirs")
    span = h264[-1].timestamp + 3600

    async def push(line) -> None:
        for turn in range(20):
            for frame in h264:
                line.send(EncodedFrame(frame.data, frame.timestamp + turn * span, frame.keyframe, "H264"))
                await asyncio.sleep(0.005)

    pushing = [asyncio.create_task(push(line)) for line in (mine, theirs)]
    try:
        async with asyncio.timeout(WITHIN):
            for line in (mine, theirs):
                await line.receive()
            mine.request_keyframe()
            theirs.request_keyframe()
            assert {await asked.get(), await asked.get()} == {"mine", "theirs"}
            while True:
                mine_report, their_report = await a.stats(), await b.stats()
                remote = mine_report.get(f"RI{mine.mid}", {})
                if "roundTripTime" in remote and their_report[f"I{theirs.mid}"]["pliCount"]:
                    break
                await asyncio.sleep(0.1)
    finally:
        for task in pushing:
            task.cancel()
    out = mine_report[f"O{mine.mid}"]
    assert out["pliCount"] >= 1, "a PLI that came (RFC 4585, section 6.3.1)"
    assert their_report[f"I{theirs.mid}"]["pliCount"] >= 1, "a PLI that went"
    assert 0 < remote["roundTripTime"] < 5
    assert remote["packetsLost"] == 0
    assert remote["localId"] == f"O{mine.mid}"
    assert out["framesSent"] > 0
