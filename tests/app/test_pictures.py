"""Still pictures through the hub, where no video comes: real cameras, a real hub."""

import asyncio

import pytest

from plait.media import STREET, jpeg
from plait.testing import connected, running_hub, served
from plait.thing import Thing
from plait.thing.camera import Camera
from plait.wire.errors import ActionFailed, Busy, InvalidMessage, UnknownOperation

CAMERA = "urn:dev:camera"


@pytest.fixture
async def home(tmp_path):
    """An app on a hub with a camera."""
    camera = Camera(CAMERA, source=STREET, state=tmp_path)
    async with running_hub(tmp_path / "hub") as hub, served(camera, hub=hub), connected(hub) as home:
        yield home


class NoPath(Camera):
    """A camera that cannot be reached by WebRTC until it is told."""

    reachable = False

    async def on_call(self, call):
        if self.reachable:
            await super().on_call(call)
        else:
            async for offer in call.offers():
                offer.answer(offer.sdp)  # and says no candidate of its own: there will be no path
                await call.over()


async def test_a_picture_is_no_larger_than_was_asked(home):
    for width, size in ((640, 65_536), (640, 6_000), (200, 65_536), (4_000, 131_072)):
        data = await home.thing(CAMERA).picture(width=width, size=size)
        assert len(data) <= size
        frame = await asyncio.to_thread(jpeg.decode, data)
        assert 64 <= frame.width <= min(width, 768)
        assert abs(frame.width / frame.height - 768 / 576) < 0.05
    with pytest.raises(ActionFailed, match="may have 1"):
        await home.thing(CAMERA).picture(size=1)


async def test_a_thing_without_pictures_says_so(tmp_path):
    class Lamp(Thing):
        """A lamp."""

    async with running_hub(tmp_path) as hub, served(Lamp("urn:dev:lamp"), hub=hub), connected(hub) as home:
        with pytest.raises(UnknownOperation, match="Lamp sends no pictures through the hub"):
            await home.thing("Lamp").picture()


async def test_a_device_may_make_its_own(tmp_path):
    class Eye(Thing):
        """A device with neither PyAV nor an engine."""

        async def on_picture(self, width, size):
            return b"jpeg %d %d" % (width, size)

    async with running_hub(tmp_path) as hub, served(Eye("urn:dev:eye"), hub=hub), connected(hub) as home:
        assert await home.thing("Eye").picture(width=9_999, size=9_999_999) == b"jpeg 4096 131072"


async def test_what_the_hub_lets_through(home):
    thing = home.thing(CAMERA)
    with pytest.raises(InvalidMessage, match="from 1 on"):
        await thing.picture(width=0)
    answers = await asyncio.gather(*(thing.picture(size=4_096) for _ in range(12)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {bytes, Busy}
    assert sum(isinstance(answer, bytes) for answer in answers) == 4, "so many at once for one session"


async def test_a_camera_takes_pictures_only_while_somebody_asks(tmp_path, monkeypatch):
    monkeypatch.setattr("plait.media.still.LINGER", 0.3)
    camera = Camera(CAMERA, source=STREET, state=tmp_path)
    async with running_hub(tmp_path / "hub") as hub, served(camera, hub=hub), connected(hub) as home:
        assert camera.viewers == 0
        await home.thing(CAMERA).picture()
        assert camera.viewers == 1
        async with asyncio.timeout(10):
            async for change in home.thing(CAMERA).watch("viewers"):
                if change.value == 0:
                    break


async def test_pictures_at_once_and_video_when_it_can(tmp_path, monkeypatch):
    monkeypatch.setattr("plait.app.live.TRY_FOR", 3.0)
    camera = NoPath(CAMERA, source=STREET, state=tmp_path)
    async with running_hub(tmp_path / "hub") as hub, served(camera, hub=hub), connected(hub) as home:
        began = asyncio.get_running_loop().time()
        async with home.thing(CAMERA).video() as video, asyncio.timeout(50):
            frame = await anext(video)
            assert asyncio.get_running_loop().time() - began < 5
            assert (video.way, video.why) == ("pictures", "no WebRTC path to it is open yet")
            assert frame.width <= 768
            for _ in range(3):
                await anext(video)
                assert video.way == "pictures"
            camera.reachable = True
            async for _ in video:
                if video.way == "video":
                    break
            for _ in range(20):
                await anext(video)
            assert (video.way, video.why) == ("video", "")
