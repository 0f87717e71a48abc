"""A real camera process, a real hub process and a headless Chromium that watches.

Hot path: packet of the file → engine → SRTP over loopback → Chromium's decoder. Three figures: which share of
the pictures sent Chromium decodes, how long from the click to the first decoded picture, and how much of a
core the camera's process uses while one viewer watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from playwright.async_api import async_playwright

from benchmarks.figures import Report, versions
from plait import app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CAMERA = "urn:dev:bench:camera"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
VIEWER = Path(__file__).with_name("viewer.js")


@contextlib.asynccontextmanager
async def _process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _count(camera: asyncio.subprocess.Process) -> dict[str, Any]:
    assert camera.stdin is not None
    assert camera.stdout is not None
    camera.stdin.write(b"\n")
    counts: dict[str, Any] = json.loads(await camera.stdout.readline())
    return counts


async def _log_in(page: Any, ready: dict[str, Any]) -> None:
    await page.goto(f"{ready['url']}/healthz")
    code = ready["login"].partition("#login=")[2]
    status = await page.evaluate(
        """async (code) => (await fetch("/api/login", {
            method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({code}),
        })).status""",
        code,
    )
    assert status < 300, f"the hub refuses the login: {status}"
    await page.evaluate(VIEWER.read_text())
    await page.set_content('<button id="go">Watch</button>')
    await page.evaluate(
        """async (id) => {
            const line = await plait.Line.open();
            document.querySelector("#go").onclick = () => { window.call = plait.watch(line, id); };
        }""",
        CAMERA,
    )


async def _first_frame(page: Any) -> float:
    await page.click("#go")
    first: float = await page.evaluate("async () => (await (await window.call).first)")
    return first


async def _window(page: Any, camera: asyncio.subprocess.Process, seconds: float) -> tuple[float, float]:
    """Return the share of pictures decoded, and the camera's share of a core."""
    process = psutil.Process(camera.pid)
    decoded = "async () => (await (await window.call).stats()).framesDecoded"
    loop = asyncio.get_running_loop()

    async def sample() -> tuple[int, int, float, float]:
        sent = (await _count(camera))["sent"][0]
        times = process.cpu_times()
        return sent, await page.evaluate(decoded), times.user + times.system, loop.time()

    sent, seen, used, began = await sample()
    await asyncio.sleep(seconds)
    sent_then, seen_then, used_then, ended = await sample()
    return min(1.0, (seen_then - seen) / (sent_then - sent)), (used_then - used) / (ended - began)


async def _run(quick: bool) -> Report:
    report = Report(versions=versions("av"))
    rounds, windows, seconds = (5, 1, 10.0) if quick else (5, 3, 10.0)
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        hub = await stack.enter_async_context(
            _process("plait.cli.demo_hub", "--port=0", f"--data={folder}/hub", CAMERA)
        )
        assert hub.stdout
        ready = json.loads(await asyncio.wait_for(hub.stdout.readline(), 30))
        camera = await stack.enter_async_context(
            _process(
                "benchmarks._camera", CAMERA,
                PLAIT_HUB=ready["url"], PLAIT_TOKEN=ready["tokens"][CAMERA], PLAIT_STATE=f"{folder}/things",
            )
        )  # fmt: skip
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        stack.push_async_callback(browser.close)
        page = await browser.new_page()
        await _log_in(page, ready)
        await asyncio.wait_for(_online(ready), 20)
        first = []
        for _ in range(rounds + 1):
            first.append(await asyncio.wait_for(_first_frame(page), 20))
            await page.evaluate("async () => (await window.call).close()")
            await asyncio.sleep(0.7)  # so that clicks fall anywhere in a group of pictures
        # The first call also starts Chromium's WebRTC service: a start of the browser, not of the picture.
        report.add("video.first_frame_ms", "ms", first[1:])
        report.notes.append(f"first call after the browser's start: {first[0]:.0f} ms")
        await asyncio.wait_for(_first_frame(page), 20)
        await asyncio.sleep(2)
        taken = [await _window(page, camera, seconds) for _ in range(windows)]
        report.add("video.decoded_share", "1", [share for share, _ in taken])
        report.add("video.device_cpu", "cores", [cpu for _, cpu in taken])
    return report


async def _online(ready: dict[str, Any]) -> None:
    async with app.connect(ready["url"], token=ready["token"]) as home:
        await (await home.wait_for(CAMERA)).online()


def run(quick: bool) -> Report:
    """Take the figures."""
    return asyncio.run(_run(quick))
