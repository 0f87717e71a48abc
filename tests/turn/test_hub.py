"""The hub's own TURN server, as those who call each other through it see it."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest

import plait.app.negotiation
from plait.hub.metrics import Metrics
from plait.hub.outbox import Traffic
from plait.hub.settings import Settings
from plait.hub.turn import metrics as turn_metrics
from plait.hub.turn.own_server import OwnServer
from plait.rtc import PeerConnection
from plait.testing import connected, running_hub, served

from .phone import Phone, path_of

WITHIN = 20


@asynccontextmanager
async def house(folder, phone, **settings):
    """A hub, the phone on it, and the phone as an app sees it."""
    async with running_hub(folder, **settings) as hub:
        known = {} if hub.authority is None else {"PLAIT_CA": hub.authority.pin}
        with patch.dict(os.environ, known):
            async with served(phone, hub=hub), connected(hub) as home:
                yield hub, await home.wait_for(phone.id)


async def metrics(hub, *names: str) -> list[int]:
    """What the hub's TURN server has counted."""
    counters = hub._turn.counters()
    return [counters[name] for name in names]


async def counted(hub, name: str, value: int) -> None:
    async with asyncio.timeout(WITHIN):
        while (await metrics(hub, name)) != [value]:  # noqa: ASYNC110 - the counter tells nobody
            await asyncio.sleep(0.02)


@pytest.fixture
def hidden(monkeypatch):
    """Connections that may only use relays, at both ends of a call."""
    hidden = partial(PeerConnection, ice_transport_policy="relay")
    monkeypatch.setattr(plait.app.negotiation, "PeerConnection", hidden)
    return hidden


async def test_two_ends_that_both_need_a_relay_meet(tmp_path, hidden):
    phone = Phone(hidden)
    async with house(tmp_path, phone) as (hub, thing):
        async with thing.call() as call, asyncio.timeout(WITHIN):
            channel = await call.channel("echo")
            for size in (1, 1000, 100_000):
                await channel.send(bytes(size))
                assert len(await channel.receive()) == size
            for peer in (call.peer, phone.peers[0]):
                async with asyncio.timeout(WITHIN):  # one over TCP may be open sooner, and gives way
                    while await path_of(peer) != ("relay", "relay", "udp"):  # noqa: ASYNC110 - it tells nobody
                        await asyncio.sleep(0.05)
            relays, relayed = await metrics(hub, "allocations", "relayed_bytes_in")
            assert relays >= 2
            assert relayed > 200_000
        # The call is over, and so are its relays, at once.
        await counted(hub, "allocations", 0)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_two_ends_that_have_the_tcp_port_alone_meet(tmp_path, monkeypatch, transport):
    def narrow(*, ice_servers, **_):
        """As behind a firewall that lets out that port alone."""
        begins = {"tcp": "turn:", "tls": "turns:"}[transport]
        servers = []
        for server in ice_servers:
            urls = (url for url in server.urls if url.startswith(begins) and url.endswith("=tcp"))
            servers.append(replace(server, urls=tuple(urls)))
        return PeerConnection(ice_servers=servers, ice_transport_policy="relay")

    monkeypatch.setattr(plait.app.negotiation, "PeerConnection", narrow)
    phone = Phone(narrow)
    async with house(tmp_path, phone, tls="local") as (hub, thing):
        async with thing.call() as call, asyncio.timeout(WITHIN):
            channel = await call.channel("echo")
            await channel.send(bytes(10_000))
            assert await channel.receive() == bytes(10_000)
            for peer in (call.peer, phone.peers[0]):
                assert await path_of(peer) == ("relay", "relay", transport)
        await counted(hub, "allocations", 0)


async def test_only_one_end_needs_a_relay(tmp_path, hidden):
    """The other's address is private, or this machine's: its candidate was signaled, so it is let through."""
    phone = Phone(PeerConnection)
    async with (
        house(tmp_path, phone, turn_allow=["127.0.0.0/8"]) as (_, thing),
        thing.call() as call,
        asyncio.timeout(WITHIN),
    ):
        channel = await call.channel("echo")
        await channel.send(b"hello")
        assert await channel.receive() == b"hello"
        assert (await path_of(call.peer))[0] == "relay"


async def test_relays_outlive_their_credentials_while_the_call_goes_on(tmp_path, hidden):
    phone = Phone(hidden)
    async with house(tmp_path, phone, turn_lifetime=2) as (hub, thing):
        async with thing.call() as call, asyncio.timeout(40):
            channel = await call.channel("echo")
            (server,) = call.ice_servers
            await asyncio.sleep(3.5)  # that credentials run out tells nobody
            await channel.send(b"still there")
            assert await channel.receive() == b"still there"
            fresh = (await call.renewed_servers())[0]
            assert int(fresh["username"].split(":")[0]) >= int(server["username"].split(":")[0]) + 2
        await counted(hub, "allocations", 0)


async def test_calls_go_on_where_the_server_has_ended(tmp_path):
    phone = Phone()
    async with house(tmp_path, phone) as (hub, thing):
        hub._turn.close()
        async with thing.call() as call, asyncio.timeout(WITHIN):
            channel = await call.channel("echo")
            await channel.send(b"directly")
            assert await channel.receive() == b"directly"


async def test_a_hub_that_stops_leaves_no_timers(tmp_path):
    """A link whose app is gone may come back within two minutes; not to a hub that has stopped."""
    async with house(tmp_path, Phone()) as (hub, thing):
        async with connected(hub) as other:
            opened = await other.client.request("openlink", thing_id=thing.id, input={"versions": [1]})
            assert opened.output["iceServers"]
        async with asyncio.timeout(WITHIN):
            while not any(call.ending for call in hub._ice._calls.values()):  # noqa: ASYNC110 - tells nobody
                await asyncio.sleep(0.02)
    assert not hub._ice._calls


async def test_a_hub_without_turn_gives_none(tmp_path):
    async with house(tmp_path, Phone(), turn=False) as (_, thing), thing.call() as call:
        assert call.ice_servers == ()


async def test_a_port_that_is_taken_is_named(tmp_path):
    async with running_hub(tmp_path / "one") as hub:
        port = hub._turn.native.addresses[0][1]
        with pytest.raises(OSError, match=rf"{port}.*PLAIT_TURN_PORT"):
            async with running_hub(tmp_path / "two", turn_port=port):
                pass


@pytest.mark.parametrize(
    ("authority", "tls", "host", "port"),
    [
        ("hub.local:8080", False, "hub.local", 8080),
        ("[fd00::1]:8443", True, "[fd00::1]", 8443),
        ("192.0.2.7", True, "192.0.2.7", 443),
        ("hub", False, "hub", 80),
    ],
)
def test_clients_find_it_where_they_found_the_hub(authority, tls, host, port):
    server = OwnServer(Settings(), [("127.0.0.1", 0)], tls=lambda: tls)
    udp = server.native.addresses[0][1]
    urls = [f"stun:{host}:{udp}", f"turn:{host}:{udp}?transport=udp", f"turn:{host}:{port}?transport=tcp"]
    assert server._urls(authority) == urls + [f"turns:{host}:{port}?transport=tcp"] * tls
    server.close()


@pytest.mark.parametrize(
    "authority", ["", "a b", "evil?transport=x", "user@host", "[::1", "h:1:2", "h:123456"]
)
def test_a_host_header_that_is_none_gives_no_servers(authority):
    server = OwnServer(Settings(), [("127.0.0.1", 0)], tls=bool)
    assert server._urls(authority) == []
    server.close()


def test_each_counter_has_a_help_text_and_is_documented():
    server = OwnServer(Settings(), [("127.0.0.1", 0)], tls=bool)
    assert set(server.counters()) == {*turn_metrics.NOW, *turn_metrics.SINCE}
    server.close()


async def test_metrics_tell_of_it(tmp_path):
    async with running_hub(tmp_path) as hub:
        shown = Metrics(Traffic())
        shown.turn = hub._turn.counters
        text = shown.text().decode()
    assert re.search(r"^# HELP plait_turn_allocations \w", text, re.MULTILINE)
    assert re.search(r"^plait_turn_refused_quota_total 0.0$", text, re.MULTILINE)
