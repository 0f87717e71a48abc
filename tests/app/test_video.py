"""Pictures in a program: decoded on a thread, bounded, and mended after a loss."""

import asyncio

import av
import numpy as np
import pytest

from plait.app.video import Video
from plait.media import STREET
from plait.media.encoder import VideoEncoder
from plait.rtc import EncodedFrame


class Line:
    """The receiving half of a transceiver, fed by the test."""

    def __init__(self):
        self.frames = asyncio.Queue()
        self.asked = 0

    async def __aiter__(self):
        while (frame := await self.frames.get()) is not None:
            yield frame

    def request_keyframe(self):
        self.asked += 1


def encoded(count, size=(320, 240)):
    """Pictures of a bar that moves, as frames."""
    encoder = VideoEncoder(*size, 25)
    frames = []
    for index in range(count):
        picture = np.zeros((size[1], size[0]), np.uint8)
        picture[:, index * 8 : index * 8 + 16] = 255
        raw = av.VideoFrame.from_ndarray(picture, format="gray8")
        stamp = 90_000 + index * 3_600
        frames += [EncodedFrame(data, stamp, key, "H264") for data, key in encoder.encode(raw, stamp)]
    return frames


async def test_pictures_come_in_order_with_their_time():
    line = Line()
    async with Video(line, limit=50) as video:
        for frame in encoded(10):
            line.frames.put_nowait(frame)
        pictures = [await asyncio.wait_for(anext(video), 10) for _ in range(10)]
        line.frames.put_nowait(None)
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(video), 10)
    assert [picture.pts for picture in pictures] == [90_000 + index * 3_600 for index in range(10)]
    assert float(pictures[0].time_base) == pytest.approx(1 / 90_000)
    pixels = pictures[5].to_ndarray(format="rgb24")
    assert pixels.shape == (240, 320, 3)
    assert pixels[120, 48, 0] > 200
    assert pixels[120, 10, 0] < 50
    assert (video.decoded, video.dropped, video.damaged) == (10, 0, 0)


async def test_a_slow_program_gets_the_newest():
    line = Line()
    async with Video(line, limit=2) as video:
        frames = encoded(20)
        line.frames.put_nowait(frames[0])
        await asyncio.wait_for(anext(video), 10)
        for frame in frames[1:]:
            line.frames.put_nowait(frame)
        async with asyncio.timeout(10):
            while video.decoded < 20:  # noqa: ASYNC110 - it works on a thread
                await asyncio.sleep(0.01)
        pictures = [await anext(video), await anext(video)]
    assert [picture.pts for picture in pictures] == [frame.timestamp for frame in frames[-2:]]
    assert video.dropped == 17


async def test_nothing_is_shown_before_a_keyframe_and_one_is_asked_for():
    line = Line()
    async with Video(line, limit=50) as video:
        frames = encoded(6)
        for frame in [*frames[3:], *frames]:
            line.frames.put_nowait(frame)
        first = await asyncio.wait_for(anext(video), 10)
    assert first.pts == frames[0].timestamp
    assert video.damaged == 3
    assert line.asked == 1, "once, and not for every frame"


async def test_garbage_is_counted_and_the_next_keyframe_goes_on():
    line = Line()
    async with Video(line, limit=50) as video:
        frames, garbage = encoded(3), b"\x00\x00\x00\x01\x65" + bytes(range(200))
        line.frames.put_nowait(EncodedFrame(garbage, 1, keyframe=True, codec="H264"))
        for frame in frames:
            line.frames.put_nowait(frame)
        assert (await asyncio.wait_for(anext(video), 10)).pts == frames[0].timestamp
    assert video.damaged >= 1
    assert line.asked == 1


async def test_a_codec_that_nothing_decodes_ends_it_with_a_reason():
    line = Line()
    async with Video(line) as video:
        line.frames.put_nowait(EncodedFrame(b"x", 1, keyframe=True, codec="NOPE"))
        with pytest.raises(Exception, match="nope"):
            await asyncio.wait_for(anext(video), 10)


async def test_the_demo_clip_decodes_whole():
    line = Line()
    async with Video(line, limit=50) as video:
        with av.open(STREET) as container:
            from plait.media.passthrough import Passthrough

            units = Passthrough(container.streams.video[0])
            for packet in container.demux(video=0):
                stamp = packet.pts
                if stamp is None or stamp >= 20 * 1024:
                    break
                for data, key in units.feed(packet):
                    line.frames.put_nowait(EncodedFrame(data, stamp, key, "H264"))
        pictures = [await asyncio.wait_for(anext(video), 10) for _ in range(20)]
    assert {(picture.width, picture.height) for picture in pictures} == {(768, 576)}
