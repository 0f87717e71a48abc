"""The page while the hub is away: what a direct link carries goes on, and what it cannot carry says why."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import async_playwright, expect
from tests.browser.axe import OVERFLOW, barriers, needs_axe

from plait.cli import chromium
from plait.hub.http.page import FOLDER
from plait.hub.store.credentials import open_credentials
from plait.testing import HubProcess, connected, served
from plait.thing import Thing, action, event, prop

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

LAMP, SENSOR = "urn:dev:lamp", "urn:dev:sensor"
SOON = 30_000
"""Milliseconds; the machine may be busy."""
FETCHED = "() => performance.getEntriesByType('resource').some(({name}) => name.includes('/assets/device-'))"


class Lamp(Thing, types=["Light"]):
    """A lamp that counts what it is asked."""

    on: bool = prop(False, title="Power", types=["OnOffProperty"])
    switched = event(int)

    def __init__(self):
        super().__init__(LAMP, title="Lamp")
        self.asked = []

    async def set_on(self, value: bool) -> bool:
        self.asked.append(value)
        self.switched.emit(len(self.asked))
        return value

    @action(idempotent=True)
    async def dim(self) -> None:
        self.asked.append("dim")

    @action
    async def blink(self) -> None:
        self.asked.append("blink")


class Sensor(Thing):
    """What a page that may open no direct path sees no more of."""

    warmth: float = prop(20.5, readonly=True, unit="degreeCelsius")
    warn_above: float = prop(26.0)

    def __init__(self):
        super().__init__(SENSOR, title="Sensor")


def tile(page, thing):
    return page.locator(f'[data-thing="{thing}"]')


async def is_direct(page, thing):
    await expect(tile(page, thing).get_by_test_id("path")).to_have_attribute(
        "data-kind", "direct", timeout=SOON
    )


async def shot(page, name):
    if folder := os.environ.get("PLAIT_SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/{name}.png")


@pytest.fixture
async def hub(tmp_path):
    async with HubProcess(tmp_path) as hub:
        yield hub


@pytest.fixture
async def page(hub, tmp_path):
    """A page of the owner's, without motion."""
    with open_credentials(tmp_path) as credentials:
        login = f"{hub.url}/#login={credentials.make_login_code('owner')}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=chromium.FLAGS)
        context = await browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        page = await context.new_page()
        await page.goto(login)
        yield page
        await browser.close()


async def test_a_lamp_is_switched_while_the_hub_is_killed(hub, page):
    began = datetime.now(UTC)
    lamp = Lamp()
    async with served(lamp, hub=hub):
        await is_direct(page, LAMP)
        # All of the page is there before it is wanted.
        await page.wait_for_function(FETCHED)
        shown = tile(page, LAMP)
        switch = shown.get_by_role("switch")
        await hub.kill()
        await expect(page.get_by_test_id("directly")).to_contain_text("goes on directly", timeout=SOON)
        badge = shown.get_by_test_id("path")
        await expect(badge).to_contain_text("direct, without the hub")
        await expect(shown.get_by_test_id("presence")).to_have_text("Online")
        await switch.click()
        await expect(switch).to_have_attribute("aria-checked", "true", timeout=SOON)
        await expect(page.get_by_test_id("spoken")).to_contain_text("confirmed in")
        assert lamp.on is True
        await expect(shown.get_by_test_id("last-event")).to_contain_text("1", timeout=SOON)
        # What may be done twice goes as well. The other one waits, and says why.
        await shown.locator('[data-action="dim"]').click()
        await expect(shown.locator('[data-action="dim"]')).to_have_attribute(
            "data-phase", "done", timeout=SOON
        )
        blink = shown.locator('[data-action="blink"]')
        await expect(blink).to_be_disabled()
        await expect(shown.get_by_test_id("reason")).to_contain_text("Blink waits for the hub")
        await shot(page, "hub-away")
        # Its own page opens, though the hub cannot be asked for anything, and is used by the keyboard.
        await shown.get_by_role("link", name="Lamp").press("Enter")
        await expect(page.get_by_test_id("device")).to_be_visible(timeout=SOON)
        await expect(page.locator('[data-action="blink"] button')).to_be_disabled()
        await expect(page.locator('[data-action="blink"] button')).to_have_accessible_description(
            re.compile("done once")
        )
        own = page.get_by_role("switch")
        await own.focus()
        await page.keyboard.press("Space")
        await expect(own).to_have_attribute("aria-checked", "false", timeout=SOON)
        await shot(page, "hub-away-device")
        await hub.start()
        await expect(page.get_by_test_id("banner")).to_have_count(0, timeout=SOON)
        await expect(page.locator('[data-action="blink"] button')).to_be_enabled(timeout=SOON)
        await expect(own).to_have_attribute("aria-checked", "false")
        # Everybody agrees, and nothing is there twice.
        assert lamp.asked == [True, "dim", False]
        async with connected(hub) as home, asyncio.timeout(SOON / 1000):
            proxy = await home.wait_for(LAMP)
            await proxy.online()
            while len(past := await proxy.history("on", began)) < 3:  # noqa: ASYNC110 - the hub keeps them by itself
                await asyncio.sleep(0.05)
        assert [value for _, value in past] == [False, True, False]
        feed = page.get_by_test_id("feed").locator("li")
        await expect(feed).to_have_count(2)
        await own.click()
        await expect(feed).to_have_count(3, timeout=SOON)
        assert lamp.asked == [True, "dim", False, True]


@needs_axe
async def test_what_cannot_be_reached_says_why_and_nothing_is_in_the_way(hub, page):
    async with served(Lamp(), hub=hub), served(Sensor(), hub=hub):
        await is_direct(page, LAMP)
        await is_direct(page, SENSOR)
        alone = await page.context.new_page()
        await alone.add_init_script("delete window.RTCPeerConnection")
        await alone.goto(hub.url)
        await expect(tile(alone, SENSOR).get_by_test_id("presence")).to_have_text("Online", timeout=SOON)
        await hub.kill()
        field = tile(alone, SENSOR).get_by_role("spinbutton")
        await expect(field).to_be_disabled(timeout=SOON)
        await expect(field).to_have_accessible_description(re.compile("no direct way to Sensor"))
        await expect(tile(alone, SENSOR).get_by_test_id("reason")).to_contain_text("no direct way")
        await expect(tile(alone, SENSOR).get_by_test_id("presence")).to_have_text("Not known without the hub")
        await expect(page.get_by_test_id("directly")).to_contain_text("Everything goes on", timeout=SOON)
        for name, each in (("direct", page), ("alone", alone)):
            await each.bring_to_front()
            for scheme in ("light", "dark"):
                await each.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                for width in (1440, 320):
                    await each.set_viewport_size({"width": width, "height": 900})
                    assert await each.evaluate(OVERFLOW) <= 0, (name, width)
                    await shot(each, f"hub-away-{name}-{scheme}-{width}")
                assert await barriers(each) == [], (name, scheme)
        # What is old on a thing's own page can still be read.
        await alone.wait_for_function(FETCHED)
        await tile(alone, SENSOR).get_by_role("link", name="Sensor").click()
        await expect(alone.get_by_test_id("device")).to_be_visible(timeout=SOON)
        await alone.get_by_role("button", name="24 h").click()
        await expect(alone.get_by_test_id("chart-reason")).to_contain_text("The past comes from the hub")
        for scheme in ("light", "dark"):
            await alone.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await shot(alone, f"hub-away-old-{scheme}")
            assert await barriers(alone) == [], scheme
