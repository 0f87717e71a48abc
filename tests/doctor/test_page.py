"""What the page's doctor says in a Chromium behind NATs and firewalls, with a real hub and coturn."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect
from tests.netlab.ends import chromium
from tests.netlab.test_matrix import pytestmark as conditions

from plait.hub.http.page import FOLDER

pytestmark = [
    *conditions,
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

DONE = 60_000
"""Milliseconds; three browsers at once, on a machine that may be busy."""


async def examined(place, hub, cookies, folder):
    """Open the doctor in a browser there; its findings, by name: (verdict, what it said)."""
    folder.mkdir()
    async with chromium(place, folder) as browser, browser.context() as context:
        await context.add_cookies(cookies)
        page = await context.new_page()
        await page.goto(f"{hub.url}/#/doctor")
        await expect(page.locator('[data-testid="doctor"][data-state="done"]')).to_be_visible(timeout=DONE)
        found = await page.get_by_test_id("finding").evaluate_all(
            "all => all.map(each => [each.dataset.name, each.dataset.verdict, each.innerText])"
        )
        return {name: (verdict, said) for name, verdict, said in found}


async def test_each_network_is_told_for_what_it_is(public, tmp_path):
    lab, hub = public
    async with chromium(lab.place("owner"), tmp_path) as browser, browser.context() as context:
        page = await context.new_page()
        await page.goto(hub.login)
        await expect(page.get_by_test_id("empty")).to_be_visible(timeout=DONE)
        cookies = await context.cookies()
    kinds = ("cone", "symmetric", "udpblock")
    reports = await asyncio.gather(
        *(examined(lab.place(kind, kind), hub, cookies, tmp_path / kind) for kind in kinds)
    )
    cone, symmetric, blocked = reports
    for report in reports:
        assert report["TURN by TCP"][0] == "pass", report
        assert report["WebSocket"][0] == "pass", report
        assert report["Secure page"][0] == "fail", "it is plain http, and not on this machine"
    assert cone["NAT"][0] == "pass"
    assert "cone" in cone["NAT"][1]
    assert cone["TURN by UDP"][0] == cone["UDP"][0] == "pass"
    assert symmetric["NAT"][0] == "warn"
    assert "symmetric" in symmetric["NAT"][1]
    assert blocked["UDP"][0] == blocked["TURN by UDP"][0] == "warn"
    assert blocked["NAT"][0] == "skip"
