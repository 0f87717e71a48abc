"""Fresh STUN and TURN servers when ICE restarts: credentials of the old ones may have run out."""

from __future__ import annotations

import asyncio

import pytest

from plait.rtc import IceServer, PeerConnection

WITHIN = 20


class Told:
    """What a connection tells of its candidates and servers."""

    def __init__(self, peer: PeerConnection) -> None:
        self.relay = asyncio.Event()
        self.failed: list = []
        peer.on_ice_candidate = self._candidate
        peer.on_ice_candidate_error = self.failed.append

    def _candidate(self, candidate) -> None:
        if candidate is not None and " typ relay" in candidate.candidate:
            self.relay.set()


async def restart(a: PeerConnection, b: PeerConnection) -> None:
    await a.set_answer(await b.accept(await a.create_offer(ice_restart=True)))


async def test_both_ends_of_a_restart_ask_for_fresh_servers(turn, joined):
    async with PeerConnection() as a, PeerConnection() as b:
        channel = a.create_data_channel("test")
        await joined(a, b)
        await asyncio.wait_for(channel.opened(), WITHIN)
        told = [Told(a), Told(b)]

        async def fresh():
            return [turn.server("udp")]

        a.renew_ice_servers = b.renew_ice_servers = fresh
        await restart(a, b)
        for each in told:
            await asyncio.wait_for(each.relay.wait(), WITHIN)
        assert a.ice_servers == b.ice_servers == (turn.server("udp"),)
        await channel.send("still there")


async def test_the_first_offer_asks_for_none(turn, joined):
    asked = []

    async def fresh():
        asked.append(1)
        return []

    async with PeerConnection(ice_servers=[turn.server("udp")]) as a, PeerConnection() as b:
        a.renew_ice_servers = b.renew_ice_servers = fresh
        a.create_data_channel("test")
        await joined(a, b)
        # Nor does a later one without a restart.
        a.add_transceiver("video")
        await a.set_answer(await b.accept(await a.create_offer()))
        assert not asked


@pytest.mark.parametrize("fault", [OSError("the hub is away"), ValueError("no such call")])
async def test_where_there_are_none_the_old_ones_are_asked_again(turn, joined, fault, caplog):
    async def fails():
        raise fault

    async with PeerConnection(ice_servers=[turn.server("udp")]) as a, PeerConnection() as b:
        channel = a.create_data_channel("test")
        await joined(a, b)
        await asyncio.wait_for(channel.opened(), WITHIN)
        a.renew_ice_servers = fails
        told = Told(a)
        end = asyncio.Event()
        a.on_ice_candidate = lambda candidate: candidate or end.set()
        await restart(a, b)
        await asyncio.wait_for(end.wait(), WITHIN)
        assert a.ice_servers == (turn.server("udp"),)
        assert not told.failed
        assert str(fault) in caplog.text


async def test_servers_that_cannot_be_read_leave_the_old_ones(turn, joined):
    async def nonsense():
        return [IceServer("http://example.org")]

    async with PeerConnection(ice_servers=[turn.server("udp")]) as a, PeerConnection() as b:
        channel = a.create_data_channel("test")
        await joined(a, b)
        await asyncio.wait_for(channel.opened(), WITHIN)
        a.renew_ice_servers = nonsense
        end = asyncio.Event()
        a.on_ice_candidate = lambda candidate: candidate or end.set()
        await restart(a, b)
        await asyncio.wait_for(end.wait(), WITHIN)
        assert a.ice_servers == (turn.server("udp"),)
