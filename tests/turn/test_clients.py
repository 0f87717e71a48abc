"""Other people's clients, and our own engine, through the server."""

from __future__ import annotations

import asyncio

import aioice
import pytest

from plait.rtc import IceServer, PeerConnection

from .conftest import credentials, serving

WITHIN = 20


def server(turn, user: str) -> IceServer:
    ip, port = turn.addresses[0]
    username, credential = credentials(user)
    host = f"[{ip}]" if ":" in ip else ip
    return IceServer(f"turn:{host}:{port}?transport=udp", username, credential)


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_our_engine_meets_itself_inside(ip):
    with serving(ip, allow=[]) as turn:
        ends = [
            PeerConnection(ice_servers=[server(turn, user)], ice_transport_policy="relay")
            for user in ("one", "two")
        ]
        async with ends[0] as one, ends[1] as two:
            one.on_ice_candidate = lambda candidate: two.add_ice_candidate(candidate) if candidate else None
            two.on_ice_candidate = lambda candidate: one.add_ice_candidate(candidate) if candidate else None
            arrived: asyncio.Queue = asyncio.Queue()
            two.on_data_channel = arrived.put_nowait
            channel = one.create_data_channel("test")
            await one.set_answer(await two.accept(await one.create_offer()))
            async with asyncio.timeout(WITHIN):
                await channel.opened()
                other = await arrived.get()
                for size in (1, 60_000):
                    await channel.send(bytes(size))
                    assert len(await other.receive()) == size
        counters = turn.counters()
    assert counters["inside"] == counters["relayed_datagrams_in"] > 0


class Echoed(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue = asyncio.Queue()

    def datagram_received(self, data: bytes, address) -> None:
        self.got.put_nowait((data, address))


async def test_aioice_relays_to_a_peer(turn):
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(Echoed, local_addr=("127.0.0.1", 0))
    username, password = credentials()
    relay, client = await aioice.turn.create_turn_endpoint(Echoed, turn.addresses[0], username, password)
    async with asyncio.timeout(WITHIN):
        relay.sendto(b"hello", transport.get_extra_info("sockname"))
        data, address = await peer.got.get()
        assert (data, address) == (b"hello", relay.get_extra_info("sockname"))
        transport.sendto(b"back", address)
        assert (await client.got.get())[0] == b"back"
        # Its Refresh with a lifetime of zero.
        relay.close()
        while turn.counters()["allocations"]:  # noqa: ASYNC110 - a counter tells nobody that it changed
            await asyncio.sleep(0.02)
    transport.close()
