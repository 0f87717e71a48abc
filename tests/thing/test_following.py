"""A camera and a viewer whose path gets narrow and wide again."""

import asyncio
from contextlib import asynccontextmanager

from tests.rtc.paths import bad_path

from plait.media import STREET
from plait.rtc import PeerConnection, SessionDescription
from plait.thing.call import Call
from plait.thing.camera import Camera

NARROW = 250_000
"""Less than half of what the clip takes."""


@asynccontextmanager
async def called(camera, path):
    """Call a camera through a path alone."""
    call = Call("c-1", ask=None, tell=lambda _: None)
    task = asyncio.create_task(camera.on_call(call))
    async with PeerConnection() as peer:
        video = peer.add_transceiver("video", direction="recvonly", codecs=("H264",))
        offer = await path.through(await peer.create_offer())
        answer = await call.take_offer({"type": "offer", "sdp": offer.sdp})
        await peer.set_answer(await path.through(SessionDescription("answer", answer["sdp"])))
        try:
            yield video
        finally:
            call.lose("the viewer left")
            await asyncio.wait_for(task, 10)


async def whole(video, count):
    """Read until so many pictures of the clip, ten a second, have come without one between them missing."""
    last, row = 0, 0
    while row < count:
        frame = await video.receive()
        row = row + 1 if frame.timestamp - last == 9_000 else 0
        last = frame.timestamp


async def test_a_camera_sends_what_fits_and_all_of_it_again(tmp_path, caplog):
    caplog.set_level("INFO", "plait.camera")
    camera = Camera("urn:dev:camera", source=STREET, state=tmp_path)
    limits = asyncio.Queue()
    main = asyncio.create_task(camera.main())
    await camera.open()
    told = camera.fanout.on_limited
    camera.fanout.on_limited = lambda count: (told(count), limits.put_nowait(count))

    async def until(count):
        async with asyncio.timeout(40):
            while await limits.get() != count:
                pass

    async with bad_path(4, delay=0.01, queue=1.5) as path, called(camera, path) as video:
        for _ in range(15):
            await asyncio.wait_for(video.receive(), 10)
        assert camera.limited == 0
        await path.set(rate=NARROW)
        await until(1)
        assert camera.limited == 1
        (viewer,) = camera.fanout.viewers
        assert 50_000 <= viewer.thinning.bits < 500_000
        await path.set(rate=0)
        await until(0)
        assert camera.limited == 0
        assert viewer.thinning.left_out > 0
        async with asyncio.timeout(15):
            await whole(video, 20)
    main.cancel()
    await asyncio.gather(main, return_exceptions=True)
    assert "a viewer's path carries" in caplog.text
    assert "a viewer is shown everything again" in caplog.text
