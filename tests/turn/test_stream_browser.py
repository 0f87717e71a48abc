"""A browser that may use nothing but the hub's TCP port: TURN over TLS, and without."""

from __future__ import annotations

import asyncio
import os

import pytest
from playwright.async_api import async_playwright

from plait.cli.chromium import FLAGS, find

from .test_stream import certificate, house  # noqa: F401 - fixtures

pytestmark = pytest.mark.browser

# Two ends in one page, each of which may use its relay alone.
MEET = """async server => {
    const config = {iceServers: [server], iceTransportPolicy: "relay"};
    const [one, other] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
    const errors = [];
    for (const [from, to] of [[one, other], [other, one]]) {
        from.onicecandidate = ({candidate}) => candidate && to.addIceCandidate(candidate);
        from.onicecandidateerror = ({errorCode, errorText}) => errors.push(`${errorCode} ${errorText}`);
    }
    const channel = one.createDataChannel("test");
    const told = new Promise((done, failed) => {
        other.ondatachannel = ({channel: far}) => far.onmessage = ({data}) => done(data);
        setTimeout(() => failed(new Error(errors.join("; ") || "no candidates")), 15000);
    });
    channel.onopen = () => channel.send("through the one port");
    await one.setLocalDescription();
    await other.setRemoteDescription(one.localDescription);
    await other.setLocalDescription();
    await one.setRemoteDescription(other.localDescription);
    const data = await told;
    const pairs = [...(await one.getStats()).values()].filter(({type}) => type === "local-candidate");
    one.close(); other.close();
    return [data, pairs.map(({relayProtocol}) => relayProtocol)];
}"""


@pytest.mark.parametrize(("scheme", "protocol"), [("turn", "tcp"), ("turns", "tls")])
async def test_chromium_meets_through_the_hubs_tcp_port(house, tmp_path, scheme, protocol):  # noqa: F811 - pytest's way
    store = tmp_path / ".pki" / "nssdb"
    store.mkdir(parents=True)
    root = tmp_path / "root.crt"
    root.write_text(house.authority)
    await run("certutil", "-d", f"sql:{store}", "-N", "--empty-password")
    await run("certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "plait", "-i", str(root))
    server = house.server(scheme)
    given = {"urls": server.urls, "username": server.username, "credential": server.credential}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find(), args=list(FLAGS), env={**os.environ, "HOME": str(tmp_path)}
        )
        try:
            page = await browser.new_page()
            data, protocols = await page.evaluate(MEET, given)
        finally:
            await browser.close()
    assert data == "through the one port"
    assert set(protocols) == {protocol}
    assert house.turn.counters()["relayed_datagrams_in"] > 0


async def run(*command):
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command
