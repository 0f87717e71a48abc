"""The examples of plait.rtc run as their first lines say."""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "rtc"
CLIP = ROOT / "src" / "plait" / "media" / "clips" / "street.mp4"
CHROMIUM = shutil.which("chromium")


@asynccontextmanager
async def running(name, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / name,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process):
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


def paste(process, text):
    process.stdin.write(text.encode() + b"\n")


async def test_two_processes_by_copy_and_paste():
    async with running("echo.py", "offer") as first, running("echo.py", "answer") as second:
        await line(first)
        offer = await line(first)
        await line(first)
        await line(second)
        paste(second, offer)
        await line(second)
        paste(first, await line(second))
        assert (await line(first)).startswith("hello after ")
        assert await line(second) == "the far end closed the connection"


async def test_a_files_video_from_process_to_process(tmp_path):
    import av

    file = tmp_path / "got.h264"
    async with running("send.py", CLIP, 0) as sender:
        url = await line(sender)
        async with running("receive.py", url, file, 15) as receiver:
            assert (await line(receiver)).startswith("15 frames of ")
    with av.open(file) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 15
    assert (frames[0].width, frames[0].height) == (768, 576)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
async def test_a_files_video_in_a_browser():
    from playwright.async_api import async_playwright

    async with running("send.py", CLIP, 0) as sender, async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        page = await browser.new_page()
        await page.goto(await line(sender))
        await page.wait_for_function(
            "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 10", timeout=30_000
        )
        await browser.close()
