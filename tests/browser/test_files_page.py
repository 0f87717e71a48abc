"""Files on the page: to a shelf and back, over either path, with breaks in between."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.async_api import async_playwright, expect
from tests.browser.axe import barriers, needs_axe

import plait.gallery.shelf
from plait.cli import chromium
from plait.hub.http.page import FOLDER
from plait.testing import Cable, running_hub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Locator, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

SHELF = "urn:dev:shelf"
SOON = 30_000
"""Milliseconds; the machine may be busy."""
SIZE = 6_000_000
PACE = 6_000_000
"""Bytes a second that the relay lets through."""


# Notes every phase and every length of the bar.
NOTING = """() => {
    window.noted = [];
    const note = () => document.querySelectorAll("[data-testid=transfer]").forEach(row => noted.push(
        [row.dataset.phase, row.querySelector("progress")?.value ?? null]));
    new MutationObserver(note).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""


class Shelf:
    """The device, as a process that can be killed."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.folder = folder
        self._environment = os.environ | {"PLAIT_HUB": url, "PLAIT_TOKEN": token, "PLAIT_SHELF": str(folder)}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "plait", "thing", plait.gallery.shelf.__file__, "--id", SHELF,
            env=self._environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def part(self) -> int:
        (part,) = self.folder.glob(".*.part")
        return part.stat().st_size


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
async def shelf(hub, tmp_path):
    shelf = Shelf(tmp_path / "shelf", hub.url, hub.token(SHELF))
    await shelf.start()
    yield shelf
    await shelf.kill()


@pytest.fixture
async def relay(hub):
    async with Cable(hub.port, pace=PACE) as relay:
        yield relay


@asynccontextmanager
async def on_page(hub, url: str, *, direct: bool) -> AsyncIterator[Page]:
    """Open the shelf's page, as the owner."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=chromium.FLAGS)
        page = await (await browser.new_context(viewport={"width": 1280, "height": 900})).new_page()
        if not direct:
            await page.add_init_script("delete window.RTCPeerConnection")
        await page.goto(hub.login_link().replace(hub.url, url))
        await expect(page.locator(f'[data-thing="{SHELF}"]')).to_be_visible(timeout=SOON)
        await page.goto(f"{url}/#/things/{quote(SHELF, safe='')}")
        await expect(page.get_by_test_id("presence")).to_have_text("Online", timeout=SOON)
        await expect(page.get_by_test_id("files")).to_be_visible(timeout=SOON)
        await page.evaluate(NOTING)
        yield page
        await browser.close()


def chooser(page: Page) -> Locator:
    return page.get_by_label(re.compile("Send files to"))


def row(page: Page, name: str) -> Locator:
    return page.get_by_test_id("transfer").filter(has_text=name)


async def is_over(page: Page, name: str, phase: str = "done") -> None:
    await expect(row(page, name)).to_have_attribute("data-phase", phase, timeout=SOON)


async def has_come(page: Page, share: float) -> None:
    """Wait until the one bar is so long."""
    await page.wait_for_function(
        "share => [...document.querySelectorAll('progress')].some(bar => bar.value >= share * bar.max)",
        arg=share,
        timeout=SOON,
    )


def after_waiting(noted: list[list]) -> list[float]:
    """Return the lengths of the bar since the file waited for a link."""
    since = max(at for at, (phase, _) in enumerate(noted) if phase == "waiting")
    # The one at which it stopped is still there when it begins to move again.
    lengths = [value for phase, value in noted[since:] if phase == "moving" and value is not None]
    return lengths[1:]


async def give(page: Page, name: str) -> None:
    form = page.locator('[data-action="give"]')
    await form.get_by_label("Name").fill(name)
    await form.get_by_role("button").click()


async def saved(page: Page, name: str) -> bytes:
    async with page.expect_download() as coming:
        await page.get_by_role("link", name=f"Save {name}").click()
    return await asyncio.to_thread(Path(await (await coming.value).path()).read_bytes)


def a_file(folder: Path, name: str, size: int = SIZE) -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


async def test_files_through_the_hub_go_on_where_they_stopped(hub, shelf, relay, tmp_path):
    file = a_file(tmp_path, "firmware.bin")
    async with on_page(hub, relay.url, direct=False) as page:
        await chooser(page).set_input_files(file)
        await has_come(page, 0.2)
        relay.cut()  # the link outlives it, and the file goes on
        await has_come(page, 0.5)
        assert "waiting" not in [phase for phase, _ in await page.evaluate("noted")]
        await shelf.kill()  # this it does not outlive
        kept = shelf.part()
        assert SIZE * 0.3 < kept < SIZE
        await shelf.start()
        await is_over(page, file.name)
        assert (shelf.folder / file.name).read_bytes() == file.read_bytes()
        noted = await page.evaluate("noted")
        assert "waiting" in [phase for phase, _ in noted]
        assert min(after_waiting(noted)) >= kept, "nothing was sent twice"

        await page.evaluate("noted.length = 0")
        # And back, with the same break. What has come is kept in the page.
        await give(page, file.name)
        await has_come(page, 0.4)
        await shelf.kill()
        await shelf.start()
        incoming = page.locator('[data-testid="transfer"][data-direction="in"]')
        await expect(incoming).to_have_attribute("data-phase", "waiting", timeout=SOON)
        await expect(incoming).to_contain_text("The link is lost")
        come = await incoming.get_by_role("progressbar").evaluate("bar => bar.value")
        assert come >= SIZE * 0.4
        await give(page, file.name)
        await expect(incoming).to_have_attribute("data-phase", "done", timeout=SOON)
        assert await saved(page, file.name) == file.read_bytes()
        assert min(after_waiting(await page.evaluate("noted"))) >= come, "nothing was sent twice"
        path = page.get_by_test_id("path")
        await expect(path).to_have_attribute("data-kind", "hub")
        await expect(page.get_by_test_id("why")).to_contain_text("Through the hub: no direct path is open")


async def test_files_directly_by_pointer_and_keyboard(hub, shelf, tmp_path):
    async with on_page(hub, hub.url, direct=True) as page:
        path = page.get_by_test_id("path")
        await expect(path).to_have_attribute("data-kind", "direct", timeout=SOON)
        await expect(path).to_have_attribute(
            "title", re.compile(r"Straight to the device: direct is open, \d+ ms")
        )
        # By keyboard.
        await page.wait_for_load_state("networkidle")
        async with page.expect_file_chooser() as choosing:
            await chooser(page).press("Enter")
        first = a_file(tmp_path, "first.bin", 3_000_000)
        await (await choosing.value).set_files(first)
        await is_over(page, first.name)
        assert (shelf.folder / first.name).read_bytes() == first.read_bytes()
        await expect(page.get_by_test_id("spoken")).to_contain_text("first.bin sent", timeout=SOON)
        # By pointer.
        await page.locator(".drop").evaluate(
            """drop => {
                const dragged = new DataTransfer();
                dragged.items.add(new File(["dragged here"], "dragged.txt"));
                const init = {dataTransfer: dragged, bubbles: true, cancelable: true};
                drop.dispatchEvent(new DragEvent("drop", init));
            }"""
        )
        await is_over(page, "dragged.txt")
        assert (shelf.folder / "dragged.txt").read_text() == "dragged here"
        # What is refused says why, and what is too long is cancelled; the next one goes.
        await chooser(page).set_input_files({"name": ".hidden", "mimeType": "", "buffer": b"x"})
        await is_over(page, ".hidden", "failed")
        await expect(row(page, ".hidden")).to_contain_text("no name for a file here")
        long = a_file(tmp_path, "long.bin", 60_000_000)
        await chooser(page).set_input_files(long)
        await has_come(page, 0.05)
        await page.get_by_role("button", name="Cancel long.bin").click()
        await is_over(page, "long.bin", "cancelled")
        await chooser(page).set_input_files(first)
        await expect(row(page, first.name)).to_have_count(2)
        await expect(row(page, first.name).first).to_have_attribute("data-phase", "done", timeout=SOON)
        assert not (shelf.folder / "long.bin").exists()
        await page.get_by_role("button", name="Remove long.bin").click()
        await expect(row(page, "long.bin")).to_have_count(0)
        # Back on the house's page the tile shows the same path, and why.
        await page.get_by_role("link", name="Home", exact=True).click()
        badge = page.locator(f'[data-thing="{SHELF}"]').get_by_test_id("path")
        await expect(badge).to_have_attribute("data-kind", "direct")


@needs_axe
async def test_the_files_have_no_barriers_and_fit(hub, shelf, relay, tmp_path):
    async with on_page(hub, relay.url, direct=False) as page:
        await page.emulate_media(reduced_motion="reduce")
        long = a_file(tmp_path, "a file with a long name that is cut somewhere.bin", 1000)
        await chooser(page).set_input_files([long, a_file(tmp_path, "b.bin")])
        await has_come(page, 0.2)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await barriers(page) == [], scheme
            for name, width in (("desktop", 1280), ("phone", 390)):
                await page.set_viewport_size({"width": width, "height": 900})
                width_left = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert await page.evaluate(width_left) <= 0, (scheme, name)
                if folder := os.environ.get("PLAIT_SCREENSHOTS"):
                    await page.screenshot(path=f"{folder}/files-{name}-{scheme}.png")
