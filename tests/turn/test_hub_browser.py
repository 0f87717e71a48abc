"""A browser that has the hub's relays alone, with the servers that the hub gave for its call."""

from __future__ import annotations

import pytest
from playwright.async_api import async_playwright

from plait.cli.chromium import FLAGS, find
from plait.testing import connected, running_hub, served

from .phone import Phone
from .test_stream_browser import MEET

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_chromium_meets_through_the_hubs_relays(tmp_path, protocol):
    phone = Phone()
    async with running_hub(tmp_path) as hub, served(phone, hub=hub), connected(hub) as home:
        async with (await home.wait_for(phone.id)).call() as call, async_playwright() as playwright:
            (given,) = call.ice_servers
            given = {**given, "urls": [url for url in given["urls"] if url.endswith(f"={protocol}")]}
            browser = await playwright.chromium.launch(executable_path=find(), args=list(FLAGS))
            try:
                page = await browser.new_page()
                data, protocols = await page.evaluate(MEET, given)
            finally:
                await browser.close()
        assert data == "through the one port"
        assert set(protocols) == {protocol}
        assert hub._turn.counters()["inside"] > 0
