"""The dashboard in a real Chromium, on a real hub with a real camera, lamp and thermometer."""

import asyncio
import gzip
import json
import os
import re
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import async_playwright, expect
from tests.browser.axe import OVERFLOW, barriers, needs_axe

from plait.gallery import household
from plait.hub.http.page import FOLDER
from plait.media import STREET

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
CAMERA, LAMP, THERMOMETER = household.CAMERA, household.LAMP, household.THERMOMETER
SOON = 10_000
"""Milliseconds; the machine may be busy."""
STARTS = 30_000
"""Milliseconds; a process starts, on a machine that may be busy."""
BUDGET = 150 * 1024
"""Bytes of JavaScript, gzipped, before the house is shown (DESIGN.md, choice 9)."""

# What a picture has been so far: its size, and how many frames were decoded.
PICTURE = (
    """video => [video.videoWidth, video.videoHeight, video.getVideoPlaybackQuality().totalVideoFrames]"""
)


@dataclass
class House:
    """A hub and its things, each a process that can be killed and started again."""

    folder: Path
    ready: dict = field(default_factory=dict)
    processes: dict = field(default_factory=dict)

    async def start_hub(self):
        port = self.ready["url"].rpartition(":")[2] if self.ready else "0"
        hub = await self._spawn(
            "hub",
            "plait.cli.demo_hub",
            f"--port={port}",
            f"--data={self.folder}/hub",
            CAMERA,
            LAMP,
            THERMOMETER,
        )
        told = json.loads(await asyncio.wait_for(hub.stdout.readline(), 30))
        self.ready = told | {"tokens": self.ready.get("tokens", told["tokens"])}

    async def start_camera(self):
        await self._spawn(
            "camera", "plait", "camera", "--source", STREET, "--id", CAMERA, "--title", "Camera",
            PLAIT_TOKEN=self.ready["tokens"][CAMERA],
        )  # fmt: skip

    async def start_small(self):
        tokens = {thing: self.ready["tokens"][thing] for thing in (LAMP, THERMOMETER)}
        await self._spawn("small", "plait.gallery.household", PLAIT_TOKENS=json.dumps(tokens))

    async def kill(self, name):
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.communicate()

    async def _spawn(self, name, *command, **environment):
        shared = {"PLAIT_HUB": self.ready["url"]} if self.ready else {}
        self.processes[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command,
            env=os.environ | shared | {"PLAIT_STATE": f"{self.folder}/things"} | environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return self.processes[name]


@pytest.fixture
async def house(tmp_path):
    """A hub and a lamp and a thermometer; tests that want the camera start it."""
    house = House(tmp_path)
    try:
        await house.start_hub()
        await house.start_small()
        yield house
    finally:
        for name in list(house.processes):
            await house.kill(name)


@pytest.fixture
async def browser():
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        stack.push_async_callback(browser.close)
        yield browser


@dataclass
class Seen:
    """What a page did that nobody should see."""

    elsewhere: list = field(default_factory=list)
    errors: list = field(default_factory=list)


@pytest.fixture
async def page(house, browser):
    """A page that has come in by the login link."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    page.seen = Seen()
    page.on("pageerror", lambda error: page.seen.errors.append(str(error)))
    page.on("console", lambda line: page.seen.errors.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(house.ready["url"]) else page.seen.elsewhere.append(request.url)
        ),
    )
    await page.goto(house.ready["login"])
    await expect(tile(page, LAMP).get_by_test_id("presence")).to_have_text("Online", timeout=STARTS)
    return page


def tile(page, thing):
    return page.locator(f'[data-thing="{thing}"]')


def prop(page, thing, name):
    return tile(page, thing).locator(f'[data-prop="{name}"]')


async def go_to(page, thing):
    await tile(page, thing).get_by_role("link").click()
    await expect(page.get_by_test_id("device")).to_be_visible(timeout=SOON)


async def grows(page, read, by):
    """Wait until what `read` gives is greater than now by at least so much."""
    first = await read()
    async with asyncio.timeout(SOON / 1000):
        while await read() < first + by:
            await page.wait_for_timeout(100)


async def frames_grow(page):
    """Wait until the picture of the one camera on the page has moved on by ten frames."""
    video = page.get_by_test_id("video")

    async def frames():
        return (await video.evaluate(PICTURE))[2]

    await grows(page, frames, 10)


async def test_the_login_link_leaves_no_trace_and_works_once(house, browser, page):
    assert page.url == f"{house.ready['url']}/"
    assert not page.seen.errors
    assert not page.seen.elsewhere
    # A link that was used does no harm where one is in already …
    await page.goto(house.ready["login"])
    await page.reload()
    await expect(tile(page, LAMP)).to_be_visible(timeout=SOON)
    # … and elsewhere says how to get another.
    stranger = await (await browser.new_context()).new_page()
    await stranger.goto(house.ready["login"])
    await expect(stranger.get_by_role("alert")).to_contain_text("used already", timeout=SOON)
    await expect(stranger.get_by_text("plait hub login")).to_be_visible()
    assert "#" not in stranger.url
    await stranger.reload()
    await expect(stranger.get_by_test_id("login")).to_be_visible(timeout=SOON)
    await expect(stranger.get_by_role("alert")).to_have_count(0)


async def test_the_first_script_is_small(house, browser):
    page = await (await browser.new_context()).new_page()
    answers = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - playwright wants a function
    await page.goto(house.ready["login"])
    await expect(tile(page, LAMP)).to_be_visible(timeout=SOON)
    scripts = [await answer.body() for answer in answers if answer.url.endswith(".js")]
    assert 0 < sum(len(gzip.compress(script)) for script in scripts) <= BUDGET


async def test_the_picture_is_live_and_its_path_is_told(house, page):
    await house.start_camera()
    camera = tile(page, CAMERA)
    video = camera.get_by_test_id("video")
    await expect(camera.get_by_test_id("live")).to_be_visible(timeout=STARTS)
    assert (await video.evaluate(PICTURE))[:2] != [0, 0]
    await frames_grow(page)
    path = camera.get_by_test_id("path")
    await expect(path).to_have_attribute("data-kind", "direct", timeout=SOON)
    await expect(path).to_contain_text(re.compile(r"direct.*\d ms", re.DOTALL), timeout=SOON)
    # Its own page goes on with the same call.
    await go_to(page, CAMERA)
    await frames_grow(page)
    figures = page.get_by_test_id("call-figures")
    await expect(figures).to_contain_text("connected")
    await expect(figures).to_contain_text(re.compile(r"Frames\s*\d\d per second"), timeout=SOON)
    await expect(page.get_by_test_id("why")).to_contain_text("Straight to the device")
    # The camera dies, and comes back.
    await house.kill("camera")
    await expect(page.get_by_test_id("presence")).to_contain_text("Offline since", timeout=SOON)
    await expect(page.get_by_test_id("video-cover")).to_contain_text("offline")
    await house.start_camera()
    await expect(page.get_by_test_id("live")).to_be_visible(timeout=STARTS)
    await frames_grow(page)
    assert not page.seen.elsewhere


async def test_the_lamp_shows_what_the_device_confirmed(page):
    lamp = tile(page, LAMP)
    switch = lamp.get_by_role("switch")
    before = await switch.get_attribute("aria-checked")
    after = {"true": "false", "false": "true"}[before]
    await switch.click()
    await expect(switch).to_have_attribute("aria-checked", after, timeout=SOON)
    await expect(page.get_by_test_id("spoken")).to_contain_text("confirmed in", timeout=SOON)
    assert await lamp.get_attribute("data-on") == {"true": "true", "false": None}[after]
    path = lamp.get_by_test_id("path")
    await expect(path).to_have_attribute("data-kind", "direct", timeout=SOON)
    await expect(path).to_contain_text(re.compile(r"direct.*\d ms", re.DOTALL), timeout=SOON)
    # By keyboard, too; and a second page sees it.
    other = await page.context.new_page()
    await other.goto(page.url)
    await expect(tile(other, LAMP).get_by_role("switch")).to_have_attribute(
        "aria-checked", after, timeout=SOON
    )
    await switch.focus()
    await page.keyboard.press("Space")
    await expect(switch).to_have_attribute("aria-checked", before, timeout=SOON)
    await expect(tile(other, LAMP).get_by_role("switch")).to_have_attribute(
        "aria-checked", before, timeout=SOON
    )
    assert not page.seen.errors


async def test_the_thermometer_has_a_chart_that_moves(page):
    chart = tile(page, THERMOMETER).get_by_test_id("chart")
    await expect(tile(page, THERMOMETER).get_by_test_id("value").first).to_have_text(
        re.compile(r"^-?\d+\.\d$"), timeout=SOON
    )

    async def points():
        return int(await chart.get_attribute("data-points", timeout=SOON))

    await grows(page, points, 2)
    await expect(chart).to_have_attribute("aria-label", re.compile("between .* and .* now"))
    before = await points()
    # The hub remembers what this page saw.
    await page.reload()
    await expect(chart).to_be_visible(timeout=SOON)
    async with asyncio.timeout(SOON / 1000):
        while await points() < before:
            await page.wait_for_timeout(100)


async def test_a_chart_has_long_ranges_too(page):
    await go_to(page, THERMOMETER)
    card = page.locator('.reading-card[data-prop="temperature"]')
    for words, span in (("1 h", "1 h"), ("24 h", "24 h"), ("7 d", "7 d"), ("30 d", "30 d")):
        await card.get_by_role("button", name=words, exact=True).click()
        chart = card.get_by_test_id("chart")
        await expect(chart).to_have_attribute(
            "aria-label", re.compile(f"last {span}: between .* and .* now"), timeout=SOON
        )
        assert int(await chart.get_attribute("data-points")) <= 301
    assert not page.seen.errors


async def test_the_device_page_has_everything_of_the_thing(page):
    await go_to(page, LAMP)
    assert page.url.endswith(f"#/things/{quote(LAMP, safe='')}")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await expect(page).to_have_title("Lamp · Plait")
    slider = page.get_by_role("slider")
    await slider.fill("35")
    await expect(page.locator('[data-prop="brightness"] output')).to_have_text(re.compile("35"), timeout=SOON)
    blink = page.locator('[data-action="blink"]')
    times = blink.get_by_label("Times")
    await times.fill("1.5")
    await blink.get_by_role("button").click()
    await expect(blink.get_by_role("alert")).to_have_text("A whole number, please")
    await times.fill("1")
    await blink.get_by_role("button").click()
    await expect(blink.get_by_test_id("action-result")).to_contain_text("Done in", timeout=SOON)
    await page.get_by_text("Thing Description").click()
    await expect(page.locator(".description pre")).to_contain_text(f'"id": "{LAMP}"')
    await page.get_by_role("link", name="Home", exact=True).click()
    await expect(page.get_by_test_id("house")).to_be_visible()
    await page.goto(f"{page.url.partition('#')[0]}#/things/nothing")
    await expect(page.get_by_role("heading", level=1)).to_have_text("No such thing")
    assert not page.seen.errors


async def test_a_device_that_dies_is_told_within_ten_seconds_and_comes_back(house, page):
    await house.kill("small")
    await expect(tile(page, LAMP).get_by_test_id("presence")).to_contain_text("Offline since", timeout=SOON)
    await expect(tile(page, LAMP).get_by_role("switch")).to_be_disabled()
    await expect(tile(page, LAMP).get_by_test_id("path")).to_have_attribute("data-kind", "none")
    await house.start_small()
    await expect(tile(page, LAMP).get_by_test_id("presence")).to_have_text("Online", timeout=STARTS)
    await expect(tile(page, LAMP).get_by_role("switch")).to_be_enabled()


async def test_a_hub_that_is_killed_is_told_and_the_page_is_back_by_itself(house, page):
    await house.start_camera()
    await expect(page.get_by_test_id("live")).to_be_visible(timeout=STARTS)
    await house.kill("hub")
    await expect(page.get_by_test_id("banner")).to_contain_text("Reconnecting", timeout=SOON)
    await house.start_hub()
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "online", timeout=5_000)
    await expect(page.get_by_test_id("banner")).to_have_count(0)
    await expect(tile(page, LAMP).get_by_test_id("presence")).to_have_text("Online", timeout=SOON)
    switch = tile(page, LAMP).get_by_role("switch")
    before = await switch.get_attribute("aria-checked")
    await switch.click()
    await expect(switch).not_to_have_attribute("aria-checked", before, timeout=SOON)
    await expect(page.get_by_test_id("live")).to_be_visible(timeout=STARTS)
    await frames_grow(page)


def addresses(house):
    things = (f"things/{quote(thing, safe='')}" for thing in (LAMP, THERMOMETER))
    return [f"{house.ready['url']}/#/{place}" for place in ("", *things)]


async def test_it_fits_every_width(house, page):
    for address in addresses(house):
        await page.goto(address)
        await expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=SOON)
        for width in (1440, 834, 390, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate(OVERFLOW) <= 0, (address, width)


@needs_axe
async def test_it_has_no_barriers(house, page):
    # Without motion, every animation comes to its end.
    await page.emulate_media(reduced_motion="reduce")
    for address in addresses(house):
        await page.goto(address)
        await expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=SOON)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await barriers(page) == [], (address, scheme)


async def test_colours_follow_the_system_and_the_choice(page):
    async def background():
        return await page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")

    await page.emulate_media(color_scheme="light")
    light = await background()
    await page.emulate_media(color_scheme="dark")
    dark = await background()
    assert light != dark
    await page.get_by_test_id("theme").click()
    assert await background() == light
    await page.reload()
    await expect(tile(page, LAMP)).to_be_visible(timeout=SOON)
    assert await background() == light
