"""From a camera to a program, through a real hub: the pictures that arrive are the source's."""

import asyncio
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from plait.media import STREET
from plait.testing import connected, running_hub, served
from plait.thing.camera import Camera
from plait.wire.errors import Offline

CAMERA = "urn:dev:camera"


def psnr(one, other):
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def source_pictures(path, count):
    with av.open(path) as container:
        return [
            picture.to_ndarray(format="rgb24")
            for _, picture in zip(range(count), container.decode(video=0), strict=False)
        ]


def nearest(picture, pictures):
    # Every fourth pixel each way tells pictures apart as well as all of them do.
    return max(range(len(pictures)), key=lambda at: psnr(picture[::4, ::4], pictures[at][::4, ::4]))


async def take(call, count):
    async with call.video(limit=100) as video:
        return [(await asyncio.wait_for(anext(video), 15)).to_ndarray(format="rgb24") for _ in range(count)]


async def test_a_passed_through_picture_is_the_source_bit_for_bit(tmp_path):
    camera = Camera(CAMERA, source=STREET, state=tmp_path)
    camera.look()
    async with running_hub(tmp_path / "hub") as hub, served(camera, hub=hub), connected(hub) as home:
        async with home.thing(CAMERA).call() as call:
            seen = await take(call, 10)
        pictures = source_pictures(STREET, 80)
        first = nearest(seen[0], pictures)
        assert [psnr(a, b) for a, b in zip(seen, pictures[first:], strict=False)] == [float("inf")] * 10
        await home.until(lambda: camera.viewers == 0)


async def test_an_encoded_picture_is_close_to_the_source(tmp_path):
    path = str(tmp_path / "b.mp4")
    with av.open(path, "w") as output, av.open(STREET) as container:
        stream = output.add_stream("libx264", rate=10, options={"bf": "2", "b-adapt": "0", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 768, 576, "yuv420p"
        for index, picture in zip(range(60), container.decode(video=0), strict=False):
            picture.pts, picture.time_base, picture.pict_type = index, Fraction(1, 10), 0
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    camera = Camera(CAMERA, source=path, state=tmp_path)
    camera.look()
    async with running_hub(tmp_path / "hub") as hub, served(camera, hub=hub), connected(hub) as home:
        async with home.thing(CAMERA).call() as call:
            seen = await take(call, 12)
        assert camera.passthrough is False
    pictures = source_pictures(path, 60)
    places = [nearest(picture, pictures) for picture in seen]
    assert places == list(range(places[0], places[0] + 12)), "none lost, none out of order"
    assert min(psnr(one, pictures[at]) for one, at in zip(seen, places, strict=True)) > 30


VIEWER = """
import asyncio, sys
from plait import app
async def main():
    async with app.connect(sys.argv[1], token=sys.argv[2]) as home:
        async with home.thing("urn:dev:camera").call() as call:
            async for _ in call.video():
                print("picture", flush=True)
asyncio.run(main())
"""


async def test_a_viewer_that_is_killed_is_let_go_and_the_other_sees_on(tmp_path):
    camera = Camera(CAMERA, source=STREET, state=tmp_path)
    async with (
        running_hub(tmp_path / "hub", window=1.0) as hub,
        served(camera, hub=hub),
        connected(hub) as home,
        home.thing(CAMERA).call() as call,
        call.video() as video,
    ):
        await asyncio.wait_for(anext(video), 15)
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", VIEWER, hub.url, hub.user_token(), stdout=asyncio.subprocess.PIPE
        )
        assert await asyncio.wait_for(other.stdout.readline(), 20) == b"picture\n"
        assert camera.viewers == 2
        other.kill()
        await other.communicate()
        async with asyncio.timeout(25):
            while camera.viewers == 2:
                await asyncio.wait_for(anext(video), 5)
        for _ in range(5):
            await asyncio.wait_for(anext(video), 5)


async def test_a_camera_that_is_away_is_said_at_once(tmp_path):
    camera = Camera(CAMERA, source=STREET, state=tmp_path)
    async with running_hub(tmp_path / "hub") as hub, connected(hub) as home:
        async with served(camera, hub=hub):
            await home.wait_for(CAMERA)
        await home.until(lambda: home.thing(CAMERA).state.presence.state == "offline")
        with pytest.raises(Offline):
            async with home.thing(CAMERA).call() as call:
                await take(call, 1)
