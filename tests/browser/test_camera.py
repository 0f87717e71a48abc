"""A real Chromium decodes what cameras send: passed through, encoded, and with sound."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from playwright.async_api import async_playwright

from plait import app
from plait.media import STREET

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
VIEWER = Path(__file__).parents[2] / "benchmarks" / "viewer.js"
CAMERA = "urn:dev:camera"


@asynccontextmanager
async def process(*command, **environment):
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | environment,
    )  # fmt: skip
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.terminate()
        await started.communicate()


@pytest.fixture
async def page():
    """A page of a hub that has logged in, with the bare viewer in it; and what the hub said."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        hub = await stack.enter_async_context(
            process("plait.cli.demo_hub", "--port=0", f"--data={folder}/hub", CAMERA)
        )
        ready = json.loads(await asyncio.wait_for(hub.stdout.readline(), 30))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        stack.push_async_callback(browser.close)
        page = await (await browser.new_context()).new_page()
        await page.goto(f"{ready['url']}/healthz")
        await page.evaluate(
            """async (code) => (await fetch("/api/login", {
                method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({code}),
            })).status""",
            ready["login"].partition("#login=")[2],
        )
        await page.evaluate(VIEWER.read_text())
        yield page, ready | {"state": f"{folder}/things"}


@asynccontextmanager
async def camera(ready, source):
    environment = {
        "PLAIT_HUB": ready["url"], "PLAIT_TOKEN": ready["tokens"][CAMERA], "PLAIT_STATE": ready["state"],
    }  # fmt: skip
    async with (
        process("plait", "camera", "--source", source, "--id", CAMERA, **environment) as started,
        app.connect(ready["url"], token=ready["token"]) as home,
    ):
        thing = await home.wait_for(CAMERA, timeout=20)
        await thing.online(timeout=20)
        yield started, thing


async def watch(page):
    """Watch the camera; returns the milliseconds to the first decoded picture."""
    return await page.evaluate(
        """async (id) => {
            window.line ??= await plait.Line.open();
            window.call = await plait.watch(line, id);
            return Promise.race([call.first, new Promise((resolve) => setTimeout(resolve, 15000, -1))]);
        }""",
        CAMERA,
    )


async def become(thing, name, value, within=25):
    """Wait until a property has a value."""
    async with asyncio.timeout(within), aclosing(thing.watch(name)) as changes:
        async for change in changes:
            if change.value == value:
                return


async def stats(page, kind="video"):
    return await page.evaluate("async (kind) => call.stats(kind)", kind)


async def pixels(page):
    """Return what the page shows, as gray values of 64 x 48."""
    data = await page.evaluate(
        """() => {
            const canvas = new OffscreenCanvas(64, 48).getContext("2d");
            canvas.drawImage(call.video, 0, 0, 64, 48);
            return Array.from(canvas.getImageData(0, 0, 64, 48).data);
        }"""
    )
    return np.array(data).reshape(48, 64, 4)[:, :, :3].mean(axis=2)


async def test_the_demo_clip_is_passed_through_and_decoded(page):
    page, ready = page
    async with camera(ready, STREET) as (_, thing):
        assert 0 < await watch(page) < 3_000
        before = await stats(page)
        await asyncio.sleep(3)
        after = await stats(page)
        assert 28 <= after["framesDecoded"] - before["framesDecoded"] <= 33
        assert after["framesDropped"] - before["framesDropped"] <= 1
        assert (after["frameWidth"], after["frameHeight"]) == (768, 576)
        assert after["freezeCount"] == 0
        with av.open(STREET) as container:
            clip = next(container.decode(video=0)).reformat(64, 48, "rgb24").to_ndarray().mean(axis=2)
        # The camera stands still: most of the picture is the same whenever one looks.
        assert np.median(np.abs(clip - await pixels(page))) < 12
        assert await thing.read("viewers") == 1
        await page.evaluate("call.close()")
        await become(thing, "viewers", 0)


async def test_a_second_viewer_and_a_page_that_is_closed(page):
    page, ready = page
    async with camera(ready, STREET) as (_, thing):
        assert await watch(page) > 0
        other = await page.context.new_page()
        await other.goto(f"{ready['url']}/healthz")
        await other.evaluate(VIEWER.read_text())
        assert await watch(other) > 0
        assert await thing.read("viewers") == 2
        await other.close()
        await become(thing, "viewers", 1)
        before = (await stats(page))["framesDecoded"]
        await asyncio.sleep(1)
        assert (await stats(page))["framesDecoded"] - before >= 8


def make(path, options, *, audio=False):
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        sound = output.add_stream("aac", rate=48_000) if audio else None
        for index in range(50):
            picture = np.full((360, 640), 60, np.uint8)
            picture[:, index * 10 : index * 10 + 60] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="gray8")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        if sound is not None:
            wave = (np.sin(np.arange(96_000) * 2 * np.pi * 440 / 48_000) * 0.5).astype(np.float32)
            for start in range(0, 95_000, 1024):
                block = wave[start : start + 1024]
                tone = av.AudioFrame.from_ndarray(np.stack([block, block]), format="fltp", layout="stereo")
                tone.sample_rate, tone.pts, tone.time_base = 48_000, start, Fraction(1, 48_000)
                output.mux(sound.encode(tone))
            output.mux(sound.encode(None))
        output.mux(stream.encode(None))
    return str(path)


async def test_b_frames_are_encoded_and_sound_is_heard(page, tmp_path):
    page, ready = page
    source = make(tmp_path / "b.mp4", {"bf": "2", "b-adapt": "0", "profile": "high"}, audio=True)
    async with camera(ready, source) as (_, thing):
        assert await watch(page) > 0
        await asyncio.sleep(2)
        video, audio = await stats(page), await stats(page, "audio")
        assert await thing.read("passthrough") is False
        assert video["framesDecoded"] > 30
        assert (video["frameWidth"], video["frameHeight"]) == (640, 360)
        assert audio["packetsReceived"] > 50
        assert audio["totalAudioEnergy"] > 0
        assert (await pixels(page)).max() > 150
        assert "audio" in thing.description["links"][0]["plait:media"]


async def test_main_profile_with_rare_keyframes_is_passed_through(page, tmp_path):
    page, ready = page
    source = make(tmp_path / "main.mp4", {"bf": "0", "g": "250", "profile": "main"})
    async with camera(ready, source) as (_, thing):
        await asyncio.sleep(1)
        assert 0 < await watch(page) < 3_000
        await asyncio.sleep(2)
        assert await thing.read("passthrough") is True
        video = await stats(page)
        assert video["framesDecoded"] > 40
        assert video["freezeCount"] == 0
