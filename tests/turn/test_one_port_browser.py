"""Chromium at the hub's one UDP port: a connection to the hub itself, and relays at the same time."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import async_playwright

from plait.cli.chromium import FLAGS, find
from plait.rtc import Engine, PeerConnection, SessionDescription

from .conftest import credentials, serving
from .test_stream_browser import MEET

pytestmark = pytest.mark.browser

# The far end answers without trickling: its candidates are in the answer.
OFFER = """async () => {
    window.pc = new RTCPeerConnection();
    window.channel = pc.createDataChannel("test");
    window.told = [];
    channel.onmessage = ({data}) => told.push(data);
    await pc.setLocalDescription();
    return pc.localDescription.sdp;
}"""
ANSWERED = """async sdp => {
    await pc.setRemoteDescription({type: "answer", sdp});
    if (channel.readyState !== "open") await new Promise(done => channel.onopen = done);
    channel.send("before");
}"""
AFTER = """async () => {
    channel.send("after");
    while (told.length < 2) await new Promise(done => setTimeout(done, 10));
    const all = [...(await pc.getStats()).values()];
    const pair = all.find(({type, nominated}) => type === "candidate-pair" && nominated);
    return [told, all.find(({id}) => id === pair.remoteCandidateId).port];
}"""


async def test_chromium_speaks_to_the_hub_and_through_it_at_one_port():
    tasks = set()

    async def echo(channel) -> None:
        async for message in channel:
            await channel.send(message)

    def adopt(channel) -> None:
        tasks.add(asyncio.create_task(echo(channel)))

    with serving("0.0.0.0") as server:
        port = server.addresses[0][1]
        async with (
            Engine(turn=server) as engine,
            PeerConnection(engine=engine) as hub,
            async_playwright() as playwright,
        ):
            hub.on_data_channel = adopt
            browser = await playwright.chromium.launch(executable_path=find(), args=list(FLAGS))
            try:
                page = await browser.new_page()
                answer = await hub.accept(SessionDescription("offer", await page.evaluate(OFFER)))
                await page.evaluate(ANSWERED, answer.sdp)
                username, credential = credentials()
                url = f"turn:127.0.0.1:{port}?transport=udp"
                relayed, _ = await page.evaluate(
                    MEET, {"urls": [url], "username": username, "credential": credential}
                )
                told, reached = await page.evaluate(AFTER)
            finally:
                await browser.close()
    assert relayed == "through the one port"
    assert told == ["before", "after"]
    assert reached == port
    assert server.counters()["inside"] > 0
