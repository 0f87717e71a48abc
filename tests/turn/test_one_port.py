"""STUN, TURN and the hub's own connections at one UDP port, told apart datagram by datagram (RFC 7983)."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from plait import _native
from plait.rtc import Engine, IceServer, PeerConnection

from .client import BINDING, RELAYED, Client, client
from .conftest import credentials, serving

WITHIN = 20


@asynccontextmanager
async def channel(hub: PeerConnection, far: PeerConnection):
    """Join a connection of the hub's with one from outside; both ends of a channel between them."""
    queue: asyncio.Queue = asyncio.Queue()
    hub.on_data_channel = queue.put_nowait
    mine = far.create_data_channel("test")
    far.on_ice_candidate, hub.on_ice_candidate = hub.add_ice_candidate, far.add_ice_candidate
    async with asyncio.timeout(WITHIN):
        await far.set_answer(await hub.accept(await far.create_offer()))
        await asyncio.gather(far.connected(), hub.connected(), mine.opened())
        yield mine, await queue.get()


async def carried(one, other, messages: int) -> None:
    """Both ways: what one sends comes at the other, in order."""

    async def send() -> None:
        for number in range(messages):
            await one.send(b"%d" % number + bytes(900))

    sending = asyncio.create_task(send())
    async with asyncio.timeout(WITHIN):
        for number in range(messages):
            message = await other.receive()
            assert message == b"%d" % number + bytes(900)
            await other.send(message[:8])
            assert (await one.receive()) == message[:8]
    await sending


async def relayed(a, b, datagrams: int, family: int) -> None:
    """Two clients of the same call, through channels between their relays."""
    addresses = [(await each.allocate(family)).address(RELAYED) for each in (a, b)]
    assert (await a.bind(0x4000, *addresses[1])).error == (await b.bind(0x4000, *addresses[0])).error == 0
    for number in range(datagrams):
        a.send_channel(0x4000, b"there %d" % number)
        assert await asyncio.wait_for(b.data.get(), WITHIN) == (0x4000, b"there %d" % number)
        b.send_channel(0x4000, b"back %d" % number)
        assert await asyncio.wait_for(a.data.get(), WITHIN) == (0x4000, b"back %d" % number)


@pytest.fixture
def stun_request():
    """Make a Binding request of this user, signed by nobody who knows the password."""

    def make(username: str) -> bytes:
        one = Client(username, "guess", b"", b"none")
        return one.message(BINDING)[0]

    return make


def sockets_on(port: int) -> int:
    lines = Path("/proc/net/udp").read_text().splitlines() + Path("/proc/net/udp6").read_text().splitlines()
    return sum(line.split()[1].endswith(f":{port:04X}") for line in lines)


@pytest.mark.parametrize(
    ("listen", "address", "threads"),
    [("127.0.0.1", "127.0.0.1", 1), ("0.0.0.0", "127.0.0.1", 2), ("::", "::1", 1)],
)
async def test_connections_and_relays_share_a_port(listen, address, threads):
    with serving(listen) as server:
        port = server.addresses[0][1]
        here = (address, port)
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(Engine(threads=threads, turn=server))
            assert engine.udp_port == port
            ends = []
            for _ in range(3):
                hub = await stack.enter_async_context(PeerConnection(engine=engine))
                far = await stack.enter_async_context(PeerConnection())
                ends.append((hub, *await stack.enter_async_context(channel(hub, far))))
            a = await stack.enter_async_context(client(here, *credentials("one")))
            b = await stack.enter_async_context(client(here, *credentials("two")))
            assert (await a.ask(BINDING, signed=False)).error == 0
            await asyncio.gather(
                relayed(a, b, 300, 2 if ":" in address else 1),
                *(carried(mine, theirs, 300) for _, mine, theirs in ends),
            )
            for hub, *_ in ends:
                report = await hub.stats()
                local = report[report["CP"]["localCandidateId"]]
                assert local["port"] == port
                assert report["T"]["datagramsDiscarded"] == 0
            assert sockets_on(port) == 1
            counters = server.counters()
            assert counters["discarded"] == 0
            assert counters["relayed_datagrams_in"] == counters["relayed_datagrams_out"] == 600
        # The server goes on without the engine.
        async with client(here, *credentials("three")) as late:
            assert (await late.allocate()).error == 0
    assert sockets_on(port) == 0


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_by_a_relay_of_the_hub_one_reaches_the_hubs_own_connections(transport):
    """Over TCP it is all that a viewer needs who gets out to the hub's TCP port alone."""
    with serving(allow=[]) as server, closing(_native.Door("127.0.0.1", 0, turn=server)) as door:
        username, password = credentials("viewer")
        port = (door if transport == "tcp" else server).addresses[0][1]
        own = IceServer(f"turn:127.0.0.1:{port}?transport={transport}", username, password)
        async with (
            Engine(turn=server) as engine,
            PeerConnection(engine=engine) as hub,
            PeerConnection(ice_servers=[own], ice_transport_policy="relay") as far,
            channel(hub, far) as (mine, theirs),
        ):
            await carried(mine, theirs, 200)
            report = await hub.stats()
            pair = report["CP"]
            assert report[pair["localCandidateId"]]["port"] == server.addresses[0][1]
            assert server.counters()["relayed_datagrams_in"] > 200


async def test_nobody_relays_in_circles():
    """A relay may send to the hub's port, where it is heard by connections, and not by the server."""
    with serving(allow=[]) as server:
        here = server.addresses[0]
        async with Engine(turn=server), client(here, *credentials()) as one, client(here) as asker:
            assert (await one.allocate()).error == 0
            assert (await one.bind(0x4000, *here)).error == 0
            before = server.counters()
            for kind in (0x001, 0x003):
                one.send_channel(0x4000, asker.message(kind, signed=False)[0])
            one.send_channel(0x4000, b"\x40\x00\x00\x00")
            for _ in range(2):  # what was sent before has gone round by then
                assert (await one.ask(BINDING, signed=False)).error == 0
                assert (await asker.ask(BINDING, signed=False)).error == 0
            after = server.counters()
            assert after["relayed_datagrams_in"] - before["relayed_datagrams_in"] == 3
            assert after["discarded"] - before["discarded"] == 3
            assert after["bindings"] - before["bindings"] == 4
            assert one.data.empty()


async def test_what_is_nobodys_is_counted_by_the_server():
    with serving() as server:
        async with Engine(turn=server) as engine, client(server.addresses[0]) as junk:
            for first in range(256):
                junk.transport.sendto(bytes([first]) + os.urandom(99))
            assert (await junk.ask(BINDING, signed=False)).error == 0
            assert server.counters()["discarded"] >= 255
            assert engine.datagrams_discarded == 0


async def test_junk_of_every_kind_disturbs_neither(stun_request):
    """First bytes of each protocol, and what names a connection that there is, with a wrong key."""
    with serving() as server:
        here = server.addresses[0]
        async with (
            Engine(turn=server, threads=2) as engine,
            PeerConnection(engine=engine) as hub,
            PeerConnection() as far,
            channel(hub, far) as (mine, theirs),
            client(here, *credentials("one")) as a,
            client(here, *credentials("two")) as b,
            client(here) as junk,
        ):
            offer = await hub.create_offer(ice_restart=True)
            await hub.set_answer(await far.accept(offer))
            known = re.findall(r"a=ice-ufrag:(\S+)", offer.sdp)[0]
            kinds = [bytes([first]) + os.urandom(99) for first in range(256)]
            kinds += [stun_request(f"{name}:here") for name in (known, "nobody")]
            flowing = asyncio.gather(relayed(a, b, 60, 1), carried(mine, theirs, 60))
            while not flowing.done():
                for datagram in kinds:
                    junk.transport.sendto(datagram)
                await asyncio.sleep(0)
            await flowing
            assert server.counters()["discarded"] > 500
            report = await hub.stats()
            assert report["T"]["datagramsDiscarded"] > 0, "what named it, and nothing else"
            assert hub.connection_state == far.connection_state == "connected"


async def test_one_engine_at_a_time():
    with serving() as server:
        engine = Engine(turn=server)
        with pytest.raises(OSError, match="another engine is at the TURN server's port"):
            Engine(turn=server)
        await engine.close()
        async with (
            Engine(turn=server) as engine,
            PeerConnection(engine=engine) as hub,
            PeerConnection() as far,
            channel(hub, far) as (mine, theirs),
        ):
            await carried(mine, theirs, 10)
    with pytest.raises(OSError, match="TURN server is not running"):
        Engine(turn=server)
    with pytest.raises(ValueError, match="udp_port"):
        Engine(udp_port=7000, turn=server)


async def test_behind_a_nat_the_published_address_is_a_candidate():
    given = {"published": [("0.0.0.0", "203.0.113.7")], "public_port": 443}
    with serving("0.0.0.0", **given) as server:
        async with Engine(turn=server) as engine, PeerConnection(engine=engine) as hub:
            hub.create_data_channel("test")
            sdp = (await hub.create_offer()).sdp
            port = server.addresses[0][1]
            assert re.search(r" 203\.0\.113\.7 443 typ srflx", sdp)
            assert re.search(rf" 127\.0\.0\.1 {port} typ host", sdp)
