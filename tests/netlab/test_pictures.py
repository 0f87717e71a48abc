"""The last rung: where only the hub's WebSocket gets through, pictures come over that, and are said to."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from .ends import coturn
from .house import house, now
from .lab import Lab
from .test_matrix import pytestmark as conditions

pytestmark = [*conditions, pytest.mark.timeout(120)]

NO_PATH = "no WebRTC path to it is open yet"


@pytest.mark.long
async def test_pictures_where_nothing_else_gets_through_and_video_when_it_does(tmp_path):
    """No UDP, no TURN: the hub is all that the two can reach, until the device's firewall opens."""
    with Lab() as lab:
        async with house(lab, tmp_path, "tcp443", "", []) as home, home.watch() as viewer:
            first = await viewer.shown("pictures", after=0)
            assert first.why == NO_PATH
            began = first.at
            await viewer.until(lambda: len(viewer.frames) >= 8)
            assert {seen.way for seen in viewer.frames} == {"pictures"}
            rate = 7 / (viewer.frames[7].at - began)
            assert 1 < rate < 4
            home.device.become("cone")
            await viewer.shown("video", after=now(), within=40)


async def test_the_page_says_so(tmp_path):
    with Lab() as lab:
        async with (
            coturn(lab.place("stun"), tmp_path) as servers,
            house(lab, tmp_path, "tcp443", "cone", servers[:1]) as home,
            home.page() as page,
        ):
            badge = page.get_by_test_id("pictures")
            await expect(badge).to_contain_text("Pictures through the hub", timeout=20_000)
            await expect(badge).to_contain_text("because")
            still = page.get_by_test_id("still")
            assert await still.evaluate("canvas => canvas.width") > 100
            await expect(badge).to_contain_text("/s", timeout=20_000)
            before = await still.evaluate("canvas => canvas.toDataURL()")
            changed = "before => document.querySelector('[data-testid=still]').toDataURL() !== before"
            await page.wait_for_function(changed, arg=before)
            home.device.become("cone")
            await expect(page.get_by_test_id("live")).to_be_visible(timeout=45_000)
            await expect(badge).to_have_count(0)
            await expect(page.get_by_test_id("path")).to_have_attribute("data-kind", "direct")
