"""Engines of one's own: several threads, and one UDP port for all connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
import struct
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from plait.rtc import ChannelClosed, Engine, IceServer, PeerClosed, PeerConnection

WITHIN = 20


def free_port() -> int:
    """A port that no address uses, outside of the range that the kernel gives away."""
    while True:
        number = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for family, every in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                probe = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((every, number))
            return number


@pytest.fixture
def port() -> int:
    return free_port()


def sockets_on(port: int) -> int:
    """How many UDP sockets of this machine are bound to the port."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("udp", "udp6")]
    return sum(int(line.split()[1].rsplit(":", 1)[1], 16) == port for table in tables for line in table)


def thread_names() -> set[str]:
    return {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}


def ports(sdp: str) -> set[int]:
    return {int(line.split()[5]) for line in re.findall(r"a=candidate:.*typ host", sdp)}


async def counting(sender, receiver, messages: int) -> None:
    """Numbers there; all must arrive, in order."""

    async def send() -> None:
        for number in range(messages):
            await sender.send(struct.pack("!I", number) + bytes(996))

    sending = asyncio.create_task(send())
    async with asyncio.timeout(WITHIN):
        for number in range(messages):
            assert struct.unpack("!I", (await receiver.receive())[:4]) == (number,)
    await sending


async def pairs(stack: AsyncExitStack, channel_pair, engine: Engine, count: int):
    """Connections of `engine` to ends with ports of their own: (ours, theirs, our channel, its far end)."""
    made = []
    for _ in range(count):
        ours = await stack.enter_async_context(PeerConnection(engine=engine))
        theirs = await stack.enter_async_context(PeerConnection())
        made.append((ours, theirs, *await channel_pair(ours, theirs)))
    return made


@pytest.mark.parametrize("threads", [1, 2])
async def test_twenty_connections_on_one_port(channel_pair, port, threads):
    async with Engine(threads=threads, udp_port=port) as engine, AsyncExitStack() as stack:
        addresses = sockets_on(port)
        made = await pairs(stack, channel_pair, engine, 20)
        assert engine.connections == (20 // threads,) * threads
        await asyncio.gather(*(counting(one, other, 200) for _, _, one, other in made))
        await asyncio.gather(*(counting(other, one, 200) for _, _, one, other in made))
        for peer, *_ in made:
            report = await peer.stats()
            pair = report["CP"]
            assert report[pair["localCandidateId"]]["port"] == port
            assert report["T"]["datagramsDiscarded"] == 0, "what was another's came here"
        assert sockets_on(port) == addresses <= 16
    assert engine.connections == (0,) * threads
    assert sockets_on(port) == 0


async def test_threads_with_ports_of_their_own(channel_pair):
    async with Engine(threads=2) as engine, AsyncExitStack() as stack:
        made = await pairs(stack, channel_pair, engine, 4)
        assert engine.connections == (2, 2)
        assert {"plait-engine", "plait-engine-1"} <= thread_names()
        await asyncio.gather(*(counting(one, other, 500) for _, _, one, other in made))


@pytest.mark.parametrize("threads", [1, 2])
async def test_junk_reaches_no_connection(channel_pair, port, threads):
    async with Engine(threads=threads, udp_port=port) as engine, AsyncExitStack() as stack:
        made = await pairs(stack, channel_pair, engine, 4)
        first, its_far_end, *_ = made[0]
        offer = await first.create_offer(ice_restart=True)
        await first.set_answer(await its_far_end.accept(offer))
        known = re.findall(r"a=ice-ufrag:(\S+)", offer.sdp)[0]
        flowing = [asyncio.create_task(counting(one, other, 3000)) for _, _, one, other in made]
        flowing += [asyncio.create_task(counting(other, one, 3000)) for _, _, one, other in made]
        junk = [
            *(bytes([first]) + os.urandom(99) for first in range(256)),
            *(stun(kind, os.urandom(12), b"nobody:here") for kind in (0x0001, 0x0011, 0x0101, 0x0111)),
            # As if for a connection that there is, with a wrong key.
            stun(0x0001, os.urandom(12), known.encode() + b":here") + bytes(24),
        ]
        sent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            flood.setblocking(False)
            while not all(task.done() for task in flowing):
                for datagram in junk:
                    flood.sendto(datagram, ("127.0.0.1", port))
                    sent += 1
                await asyncio.sleep(0)
        await asyncio.gather(*flowing)
        assert sent > 10_000
        assert engine.datagrams_discarded > 1000
        for number, (peer, *_) in enumerate(made):
            assert peer.connection_state == "connected"
            # Only what named the first connection was looked at there, and by no other.
            assert ((await peer.stats())["T"]["datagramsDiscarded"] > 0) == (number == 0)


def stun(kind: int, transaction: bytes, username: bytes) -> bytes:
    padded = username + bytes(-len(username) % 4)
    attribute = struct.pack("!HH", 0x0006, len(username)) + padded
    return struct.pack("!HHI", kind, len(attribute), 0x2112A442) + transaction + attribute


async def test_both_ends_share_ports(channel_pair, port):
    """One pair of addresses carries one connection; a second one does not disturb it."""
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(Engine(udp_port=number)) for number in (port, free_port())]
        a, b, c, d = [await stack.enter_async_context(PeerConnection(engine=one)) for one in engines * 2]
        mine, theirs = await channel_pair(a, b)
        c.create_data_channel("second")
        await c.set_answer(await d.accept(await c.create_offer()))
        await counting(mine, theirs, 2000)
        assert a.connection_state == b.connection_state == "connected"


async def test_an_address_is_free_again_after_a_connection(channel_pair, port):
    async with Engine(udp_port=port) as here, Engine(udp_port=free_port()) as there:
        for _ in range(3):
            async with PeerConnection(engine=here) as a, PeerConnection(engine=there) as b:
                await counting(*await channel_pair(a, b), 10)


async def test_ice_restarts_on_a_shared_port(channel_pair, port):
    async with Engine(udp_port=port) as engine, PeerConnection(engine=engine) as a, PeerConnection() as b:
        mine, theirs = await channel_pair(a, b)
        for one, other in ((a, b), (b, a)):
            await one.set_answer(await other.accept(await one.create_offer(ice_restart=True)))
            await counting(mine, theirs, 300)
        # Long enough to be told as disconnected, if checks were lost.
        await asyncio.sleep(5.5)
        assert a.connection_state == b.connection_state == "connected"


async def test_a_stun_server_is_asked_from_the_shared_port(turn, port):
    async with (
        Engine(udp_port=port) as engine,
        PeerConnection(engine=engine, ice_servers=[IceServer(f"stun:127.0.0.1:{turn.port}")]) as peer,
    ):
        told, failed = asyncio.Queue(), []
        peer.on_ice_candidate, peer.on_ice_candidate_error = told.put_nowait, failed.append
        peer.create_data_channel("test")
        assert ports((await peer.create_offer()).sdp) == {port}
        async with asyncio.timeout(10):  # less than a server without an answer would take
            while await told.get() is not None:
                pass
        assert not failed


async def test_a_port_in_use_is_named(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        with pytest.raises(OSError, match=f"UDP port {port} of 127.0.0.1"):
            Engine(udp_port=port)
    async with Engine(udp_port=port):
        with pytest.raises(OSError, match=f"UDP port {port}"):
            Engine(udp_port=port)


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": 65}, {"udp_port": 0}, {"udp_port": 65536}])
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        Engine(**options)


async def test_an_engine_that_is_closed_closes_its_connections(channel_pair):
    engine = Engine(threads=2)
    async with PeerConnection(engine=engine) as a, PeerConnection() as b:
        mine, theirs = await channel_pair(a, b)
        await engine.close()
        assert not engine.running
        assert a.connection_state == "closed"
        assert a.close_reason == "the engine was stopped"
        with pytest.raises(ChannelClosed):
            await mine.receive()
        with pytest.raises(ChannelClosed):
            await asyncio.wait_for(theirs.receive(), WITHIN)
        with pytest.raises((PeerClosed, RuntimeError)):
            PeerConnection(engine=engine)


async def test_an_engine_that_nobody_has_any_more_ends(port):
    engine = Engine(udp_port=port)
    assert sockets_on(port) > 0
    del engine
    async with asyncio.timeout(WITHIN):
        while sockets_on(port):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.02)


async def test_beside_is_the_same_thread():
    async with Engine(threads=2) as engine, AsyncExitStack() as stack:
        first = await stack.enter_async_context(PeerConnection(engine=engine))
        for _ in range(3):
            await stack.enter_async_context(PeerConnection(beside=first))
        assert engine.connections == (4, 0)
        with pytest.raises(ValueError, match="another engine"):
            PeerConnection(engine=engine, beside=await stack.enter_async_context(PeerConnection()))
