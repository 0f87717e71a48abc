"""A browser and a camera restart ICE at the same moment: one call, whose picture goes on."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import async_playwright, expect

from plait.cli import chromium
from plait.hub.http.page import FOLDER
from plait.media import STREET
from plait.rtc import PeerConnection
from plait.testing import running_hub, served
from plait.thing.camera import Camera

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (FOLDER / "index.html").is_file(), reason="the page is not built: npm run build"),
]

SOON = 30_000
"""Milliseconds; the machine may be busy."""
ROUNDS = 6

# Remembers the page's connections, and how often an offer of its own gave way.
REMEMBER = """
    const Real = RTCPeerConnection;
    window.peers = [];
    window.gaveWay = 0;
    window.RTCPeerConnection = class extends Real {
        constructor(...given) { super(...given); peers.push(this); }
        setRemoteDescription(description) {
            gaveWay += description.type === "offer" && this.signalingState === "have-local-offer";
            return super.setRemoteDescription(description);
        }
        setLocalDescription(...given) {
            gaveWay += given[0]?.type === "rollback";
            return super.setLocalDescription(...given);
        }
    };
"""
FRAGMENT = "() => peers[0].localDescription.sdp.match(/a=ice-ufrag:(\\S+)/)[1]"
STABLE = "() => peers[0].signalingState === 'stable' && peers[0].connectionState === 'connected'"
FRAMES = "video => video.getVideoPlaybackQuality().totalVideoFrames"


class Shown(PeerConnection):
    """The camera's end."""

    made: list[Shown]

    def __init__(self, **options):
        super().__init__(**options)
        Shown.made.append(self)


async def test_both_restart_at_the_same_moment(tmp_path, monkeypatch):
    Shown.made = []
    monkeypatch.setattr("plait.thing.camera.PeerConnection", Shown)
    camera = Camera("urn:dev:camera", source=STREET, state=tmp_path)
    camera.look()
    async with (
        running_hub(tmp_path / "hub") as hub,
        served(camera, hub=hub),
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=chromium.FLAGS)
        page = await browser.new_page()
        await page.add_init_script(REMEMBER)
        await page.goto(hub.login_link())
        await expect(page.get_by_test_id("live")).to_be_visible(timeout=SOON)
        video = page.get_by_test_id("video")
        for number in range(ROUNDS):
            before = await page.evaluate(FRAGMENT)
            # Who is first changes; so close that the offers cross on their way.
            if number % 2:
                Shown.made[0].restart_ice()
            await page.evaluate("peers[0].restartIce()")
            if not number % 2:
                Shown.made[0].restart_ice()
            await page.wait_for_function(f"before => ({FRAGMENT})() !== before", arg=before, timeout=SOON)
            await page.wait_for_function(STABLE, timeout=SOON)
            async with asyncio.timeout(SOON / 1000):
                while Shown.made[0].signaling_state != "stable":  # noqa: ASYNC110 - shorter than a callback
                    await asyncio.sleep(0.02)
            frames = await video.evaluate(FRAMES)
            async with asyncio.timeout(SOON / 1000):
                while await video.evaluate(FRAMES) < frames + 10:
                    await page.wait_for_timeout(50)
        assert await page.evaluate("peers.length") == len(Shown.made) == 1, "the call was opened anew"
        assert await page.evaluate("gaveWay") > 0, "no offers crossed: this shows nothing"
        assert re.search(r"direct", await page.get_by_test_id("path").inner_text())
        await browser.close()
