"""coturn as the alternative: the real one takes credentials of the hub, and the sample file is safe."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

import plait.app.negotiation
from plait.hub.turn.credentials import Signer
from plait.rtc import PeerConnection
from plait.testing import connected, running_hub, served

from .client import client
from .coturn import SECRET, SHIPPED, coturn
from .phone import Phone, path_of

WITHIN = 20
# Relay and peers are all on loopback here, which the sample denies.
ON_LOOPBACK = ("allow-loopback-peers", "allowed-peer-ip=127.0.0.1")


def signed(**given) -> tuple[str, str]:
    return Signer(SECRET.encode(), 600).credential("call", "user:owner", "urn:dev:phone", **given)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_relayed_call_with_credentials_of_the_hubs(tmp_path, monkeypatch, transport):
    hidden = partial(PeerConnection, ice_transport_policy="relay")
    monkeypatch.setattr(plait.app.negotiation, "PeerConnection", hidden)
    async with coturn(tmp_path, *ON_LOOPBACK) as port:
        url = f"turn:127.0.0.1:{port}?transport={transport}"
        async with running_hub(tmp_path, turn=False, turn_urls=[url], turn_secret=SECRET) as hub:
            phone = Phone(hidden)
            async with served(phone, hub=hub), connected(hub) as home:
                async with (await home.wait_for(phone.id)).call() as call, asyncio.timeout(WITHIN):
                    channel = await call.channel("echo")
                    await channel.send(b"through coturn")
                    assert await channel.receive() == b"through coturn"
                    for peer in (call.peer, phone.peers[0]):
                        assert await path_of(peer) == ("relay", "relay", transport)
                users = [server["username"].split(":")[2] for server in (*call.ice_servers, *phone.servers)]
                assert users == ["user%3Aowner", f"thing%3A{phone.id.replace(':', '%3A')}"]


FORBIDDEN = (
    *("10.0.0.1", "192.168.1.1", "172.16.0.1", "127.0.0.2", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.2"),
)

FORBIDDEN_6 = (
    *("::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1"),
    *("2001:db8::1", "2002:a00:1::1", "fc00::1", "fd00::1", "fe80::1", "ff02::1"),
)


async def test_peers_that_are_nearer_than_the_internet_are_refused(tmp_path):
    async with coturn(tmp_path, *ON_LOOPBACK) as port, client(("127.0.0.1", port), *signed()) as turn:
        assert (await turn.allocate()).error == 0
        for host in FORBIDDEN:
            assert (await turn.permit(host)).error == 403
            assert (await turn.bind(0x4000, host, 9)).error == 403
        assert (await turn.permit("8.8.8.8")).error == 0


async def test_so_they_are_in_ipv6(tmp_path):
    here = ("listening-ip=::1", "relay-ip=::1")
    async with coturn(tmp_path, *ON_LOOPBACK, *here) as port, client(("::1", port), *signed()) as turn:
        assert (await turn.allocate(family=2)).error == 0
        for host in FORBIDDEN_6:
            assert (await turn.permit(host)).error == 403, host
        assert (await turn.permit("2606:4700::1111")).error == 0


async def test_credentials_that_are_expired_or_forged_allocate_nothing(tmp_path):
    async with coturn(tmp_path) as port:
        name, password = signed()
        later = str(int(name.split(":")[0]) + 3600) + name[name.index(":") :]
        for user, secret in [
            signed(now=time.time() - 700),
            (later, password),
            (name, "guess"),
            (name.replace("owner", "other"), password),
        ]:
            async with client(("127.0.0.1", port), user, secret) as turn:
                assert (await turn.allocate()).error == 401


async def test_a_relay_outlives_its_credentials(tmp_path):
    short = signed(now=time.time() - 598)
    async with coturn(tmp_path) as port, client(("127.0.0.1", port), *short) as turn:
        assert (await turn.allocate()).error == 0
        expires = int(short[0].split(":")[0])
        await asyncio.sleep(max(0.0, expires + 1.5 - time.time()))  # nothing tells that a second has gone by
        assert (await turn.refresh(600)).error == 0
        async with client(("127.0.0.1", port), *short) as late:
            assert (await late.allocate()).error == 401


def test_what_must_be_changed_is_marked():
    lines = SHIPPED.read_text().splitlines()
    for setting in ("realm=turn.example.org", "static-auth-secret=CHANGE-ME"):
        assert lines[lines.index(setting) - 1].startswith("# CHANGE")
