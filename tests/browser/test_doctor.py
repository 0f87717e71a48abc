"""The doctor's page in a real Chromium, on a real hub: reached by keyboard, read by a screen reader."""

from __future__ import annotations

import pytest
from playwright.async_api import async_playwright, expect
from tests.browser.axe import OVERFLOW, barriers

from plait.hub.http.page import FOLDER
from plait.testing import running_hub

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream",
]  # fmt: skip
DONE = 40_000
"""Milliseconds; all examinations are over by then, on a machine that may be busy."""
DEAD = [
    {"urls": "stun:127.0.0.1:9"},
    {"urls": ["turn:127.0.0.1:9?transport=tcp"], "username": "u", "credential": "c"},
]
"""Nobody listens on the discard port."""


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path / "hub", ice_servers=DEAD, turn=False) as hub:
        yield hub


@pytest.fixture
async def page(hub):
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        await page.goto(hub.login_link())
        await expect(page.get_by_test_id("empty")).to_be_visible(timeout=DONE)
        yield page
        await browser.close()


def finding(page, name):
    return page.locator(f'[data-testid="finding"][data-name="{name}"]')


async def examined(page):
    await expect(page.locator('[data-testid="doctor"][data-state="done"]')).to_be_visible(timeout=DONE)


async def test_the_doctor_is_reached_by_keyboard_and_says_what_to_do(page):
    link = page.get_by_role("link", name="Doctor")
    await link.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Doctor", level=1)).to_be_visible(timeout=DONE)
    await examined(page)
    assert await page.title() == "Doctor · Plait"
    for name in ("Hub by TCP", "WebSocket", "Clock", "Secure page", "WebRTC", "Codecs", "Own network"):
        await expect(finding(page, name)).to_have_attribute("data-verdict", "pass")
    await expect(finding(page, "Microphone")).to_have_attribute("data-verdict", "pass")

    for name in ("UDP", "TURN by TCP"):
        await expect(finding(page, name)).to_have_attribute("data-verdict", "fail")
        await expect(finding(page, name).locator(".finding-advice")).not_to_be_empty()
    turn = finding(page, "TURN by TCP").get_by_role("heading", level=2)
    await expect(turn).to_have_text("TURN by TCP: Does not work")  # what a screen reader says
    await expect(page.get_by_test_id("doctor-summary")).to_have_text("2 things do not work")

    again = page.get_by_test_id("again")
    await again.focus()
    await page.keyboard.press("Enter")
    await expect(again).to_be_disabled()
    await examined(page)
    await expect(again).to_be_enabled()
    assert page.errors == []


async def test_nobody_is_shut_out(page):
    await page.goto(page.url.split("#")[0] + "#/doctor")
    await examined(page)
    for width in (390, 1280):
        await page.set_viewport_size({"width": width, "height": 844})
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert await page.evaluate(OVERFLOW) <= 0
            assert await barriers(page) == [], (width, scheme)
