"""What the page says of a hub of another version, of things that sleep, and of a session that was lost."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from playwright.async_api import async_playwright, expect

from plait.cli import chromium
from plait.hub.http.page import FOLDER
from plait.hub.store.credentials import open_credentials
from plait.testing import HubProcess, running_hub, served
from plait.thing import Thing, action, prop, serve

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

SOON = 20_000
"""Milliseconds; the machine may be busy."""


class Door(Thing):
    """It opens for as long as it is let."""

    closed: bool = prop(True)

    def __init__(self) -> None:
        super().__init__("urn:dev:door")
        self.opening = asyncio.Event()
        self.opened = asyncio.Event()

    @action
    async def unlock(self) -> None:
        self.opening.set()
        await self.opened.wait()


@pytest.fixture
async def page():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=chromium.FLAGS)
        page = await browser.new_page()
        yield page
        await browser.close()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"error": {"type": "urn:plait:problem:unsupported-version", "title": "None", "status": 400}},
            "This page is older than the hub.",
        ),
        (
            {"output": {"protocol": 0, "session": "s", "resumed": False, "ack": 0, "window": 60,
                        "time": "2026-01-01T00:00:00Z"}},
            "This page is newer than the hub.",
        ),
    ],
)  # fmt: skip
async def test_a_hub_of_another_version_is_said(tmp_path, page, members, words):
    answers = []

    def answer(socket, said):
        asked = json.loads(said)
        answers.append(asked["operation"])
        told = {"messageType": "response", "operation": "hello", "correlationID": asked["messageID"]}
        socket.send(json.dumps(told | members))

    await page.route_web_socket(
        re.compile("/ws$"), lambda socket: socket.on_message(lambda said: answer(socket, said))
    )
    async with running_hub(tmp_path) as hub:
        await page.goto(hub.login_link())
        banner = page.get_by_test_id("banner")
        await expect(banner).to_contain_text(words, timeout=SOON)
        await expect(banner).to_have_attribute("role", "alert")
        assert answers == ["hello"], "it does not dial again"
        async with page.expect_navigation():
            await banner.get_by_role("button", name="Reload").click()


async def test_a_sleeping_thing_is_counted_apart(tmp_path, page):
    async with running_hub(tmp_path) as hub:
        sleeping = asyncio.create_task(
            serve(Door(), hub=hub.url, token=hub.token("urn:dev:door"), mode="wake", every=3000)
        )
        try:
            await page.goto(hub.login_link())
            await expect(page.get_by_test_id("count")).to_have_text(
                "1 thing: 0 online, 1 asleep (next wake in 50 min)", timeout=SOON
            )
            await expect(page.get_by_test_id("presence")).to_have_text("Asleep, next wake in 50 min")
        finally:
            sleeping.cancel()
            await asyncio.gather(sleeping, return_exceptions=True)


async def test_a_lost_session_names_what_may_have_been_done(tmp_path, page):
    door = Door()
    async with HubProcess(tmp_path) as hub:
        with open_credentials(tmp_path) as credentials:
            link = f"{hub.url}/#login={credentials.make_login_code('owner')}"
        async with served(door, hub=hub):
            await page.goto(link)
            await page.locator('[data-action="unlock"]').click(timeout=SOON)
            await asyncio.wait_for(door.opening.wait(), 20)
            # The answer to this acknowledges the command: it is not sent again.
            switch = page.get_by_role("switch")
            await switch.click()
            await expect(switch).to_have_attribute("aria-checked", "false", timeout=SOON)
            await hub.kill()
            await hub.start()
            toast = page.get_by_test_id("toast").filter(has_text="Session lost")
            await expect(toast).to_contain_text(
                "It is not known whether this was done: Door: Unlock.", timeout=SOON
            )
            door.opened.set()
