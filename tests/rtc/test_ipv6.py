"""STUN and TURN servers at IPv6 addresses, against coturn on ::1."""

from __future__ import annotations

import asyncio
import socket

import pytest

from plait.rtc import IceServer, PeerConnection

WITHIN = 20


@pytest.fixture
async def turn6(coturn, tmp_path):
    async with coturn(tmp_path, "listening-ip=::1", "relay-ip=::1") as server:
        yield server


def at(turn, host: str, transport: str) -> IceServer:
    url = {
        "udp": f"turn:{host}:{turn.port}",
        "tcp": f"turn:{host}:{turn.port}?transport=tcp",
        "tls": f"turns:{host}:{turn.tls_port}",
    }[transport]
    return IceServer(url, "plait", "secret", authorities=turn.authorities)


async def gathered(peer: PeerConnection) -> list[str]:
    """Make an offer, and wait for the last candidate."""
    told: asyncio.Queue = asyncio.Queue()
    peer.on_ice_candidate = told.put_nowait
    peer.create_data_channel("test")
    await peer.create_offer()
    lines = []
    async with asyncio.timeout(WITHIN):
        while (candidate := await told.get()) is not None:
            lines.append(candidate.candidate)
    return lines


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_two_ends_talk_through_a_relay_at_an_ipv6_address(turn6, joined, transport):
    options = {"ice_servers": [at(turn6, "[::1]", transport)], "ice_transport_policy": "relay"}
    async with PeerConnection(**options) as a, PeerConnection(**options) as b:
        channels: asyncio.Queue = asyncio.Queue()
        b.on_data_channel = channels.put_nowait
        mine = a.create_data_channel("test")
        await joined(a, b)
        async with asyncio.timeout(WITHIN):
            await mine.opened()
            theirs = await channels.get()
            await mine.send("there")
            assert await theirs.receive() == "there"
            await theirs.send("and back")
            assert await mine.receive() == "and back"
        report = await a.stats()
        local = report[report["CP"]["localCandidateId"]]
        assert (local["candidateType"], local["relayProtocol"], local["address"]) == (
            "relay",
            transport,
            "::1",
        )


async def test_a_stun_server_at_an_ipv6_address_answers(turn6):
    failed = []
    async with PeerConnection(ice_servers=[IceServer(f"stun:[::1]:{turn6.port}")]) as peer:
        peer.on_ice_candidate_error = failed.append
        async with asyncio.timeout(10):  # less than a server without an answer would take
            lines = await gathered(peer)
    assert not failed
    # What it tells is a host candidate already: there is no NAT.
    assert any(line.split()[4] == "::1" and "typ host" in line for line in lines)


async def test_a_name_with_addresses_of_both_families_is_asked_at_both(turn6, monkeypatch):
    """The name's A and AAAA records are given here: which names have both differs between machines."""

    async def resolve(host, port, **_):
        assert host == "turn.example"
        inet, inet6 = socket.AF_INET, socket.AF_INET6
        found = [(inet6, ("::1", port, 0, 0)), (inet6, ("fd00::9", port, 0, 0)), (inet, ("127.0.0.1", port))]
        return [(family, socket.SOCK_DGRAM, 17, "", address) for family, address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    failed = []
    server = at(turn6, "turn.example", "udp")
    async with PeerConnection(ice_servers=[server], ice_transport_policy="relay") as peer:
        peer.on_ice_candidate_error = failed.append
        relayed = {line.split()[4] for line in await gathered(peer)}
    assert relayed == {"127.0.0.1", "::1"}
    assert not failed


async def test_nobody_at_an_ipv6_address_is_told(turn6):
    errors: asyncio.Queue = asyncio.Queue()
    nobody = IceServer("turn:[::1]:9?transport=tcp", "plait", "secret")
    async with PeerConnection(ice_servers=[nobody, at(turn6, "[::1]", "udp")]) as peer:
        peer.on_ice_candidate_error = errors.put_nowait
        lines = await gathered(peer)
        error = await asyncio.wait_for(errors.get(), WITHIN)
    assert any("typ relay" in line for line in lines)
    assert (error.url, error.error_code, error.address) == ("turn:[::1]:9?transport=tcp", 701, "::1")
