"""Pairs on a thing's page: given and taken back by keyboard and pointer, and shown as the hub has them."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

import pytest
from playwright.async_api import async_playwright, expect
from tests.browser.axe import barriers, needs_axe

from plait.app.pairing import pairings
from plait.cli import chromium
from plait.hub.http.page import FOLDER
from plait.testing import connected, running_hub, served
from plait.thing import Thing, prop

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

LAMP, BUTTON = "urn:dev:lamp", "urn:dev:button"
SOON = 20_000
"""Milliseconds; the machine may be busy."""


class Lamp(Thing):
    """A lamp."""

    on: bool = prop(False)


class Button(Thing):
    """A button."""

    presses: int = prop(0, readonly=True)


@needs_axe
async def test_a_button_is_paired_with_a_lamp_and_it_is_taken_back(tmp_path):
    async with (
        running_hub(tmp_path) as hub,
        served(Lamp(LAMP, title="Lamp"), hub=hub),
        served(Button(BUTTON, title="Button"), hub=hub),
        connected(hub) as home,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=chromium.FLAGS)
        page = await browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
        await page.goto(hub.login_link())
        await page.goto(f"{hub.url}/#/things/{quote(LAMP, safe='')}")
        card = page.get_by_test_id("pairs")
        await card.get_by_text("Pairs").click(timeout=SOON)
        await card.get_by_label("What may use Lamp, too?").select_option("Button")
        await card.get_by_role("button", name="Pair").press("Enter")
        row = card.get_by_test_id("pair")
        await expect(row).to_contain_text(re.compile("Button.*may use.*Lamp"), timeout=SOON)
        await expect(row).to_contain_text("until taken back · 24 h without the hub")
        await expect(page.get_by_test_id("spoken")).to_contain_text("Button may use Lamp")
        (pairing,) = await pairings(home)
        assert (pairing.caller, pairing.thing) == (BUTTON, LAMP)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert await barriers(page) == [], scheme
            if folder := os.environ.get("PLAIT_SCREENSHOTS"):
                await page.screenshot(path=f"{folder}/pairs-{scheme}.png")
        # The other's page shows it, too; there it is taken back.
        await row.get_by_role("link", name="Button").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Button")
        await page.get_by_role("button", name="Take back that Button may use Lamp").click(timeout=SOON)
        await expect(row).to_have_count(0, timeout=SOON)
        await expect(page.get_by_test_id("spoken")).to_contain_text("Button may no longer use Lamp")
        assert await pairings(home) == []
        await browser.close()
