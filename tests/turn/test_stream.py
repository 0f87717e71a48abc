"""TURN over TCP and TLS, through the hub's own door: nothing lost, nobody disturbed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import asynccontextmanager

import pytest
import trustme
from aioice import turn

from plait import _native
from plait.rtc import IceServer, PeerConnection

from .conftest import credentials, serving
from .test_uclient import echo, uclient  # noqa: F401 - a fixture

COOKIE = 0x2112A442
BINDING = struct.pack("!HHI12s", 1, 0, COOKIE, b"transaction!")
ALLOCATE = struct.pack("!HHI12sHHI", 3, 8, COOKIE, b"transaction!", 0x19, 4, 17 << 24)
WITHIN = 20
TEN = ("-c", "-m", "10", "-n", "100", "-z", "5")


class House:
    """A door in front of a TURN server, both on loopback."""

    def __init__(self, server, certificate, authority):
        chain, key = certificate
        self.turn = server
        self.authority = authority
        self.door = _native.Door("127.0.0.1", 0, cert=chain, key=key, turn=server)
        self.address = self.door.addresses[0]
        self.trust = ssl.create_default_context(cadata=authority)

    async def connect(self, *, tls=False):
        options = {"ssl": self.trust, "server_hostname": "localhost"} if tls else {}
        return await asyncio.open_connection(*self.address, **options)

    def server(self, scheme, **lasts):
        username, password = credentials(**lasts)
        url = f"{scheme}:127.0.0.1:{self.address[1]}?transport=tcp"
        return IceServer(url, username, password, self.authority if scheme == "turns" else "")


@pytest.fixture(scope="module")
def certificate():
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    return (chain, issued.private_key_pem.bytes()), authority.cert_pem.bytes().decode()


@pytest.fixture
def house(certificate):
    with serving("127.0.0.1", max_allocations=1000) as server:
        house = House(server, *certificate)
        yield house
        house.door.close()


async def until(condition):
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 - counters tell nobody when they change
            await asyncio.sleep(0.01)


async def cut(reader):
    """Wait until the far end closes, in whatever way."""
    async with asyncio.timeout(WITHIN):
        try:
            while await reader.read(4096):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
    return True


async def answered(reader, writer, request=BINDING):
    writer.write(request)
    async with asyncio.timeout(WITHIN):
        head = await reader.readexactly(20)
        return head, await reader.readexactly(int.from_bytes(head[2:4], "big"))


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_binding_request_is_answered_however_it_is_cut(house, tls):
    reader, writer = await house.connect(tls=tls)
    head, body = await answered(reader, writer)
    assert head[:2] == b"\x01\x01"
    assert b"transaction!" in head
    port = writer.get_extra_info("sockname")[1]
    assert struct.pack("!H", port ^ COOKIE >> 16) in body
    for byte in BINDING:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(WITHIN):
        assert (await reader.readexactly(2)) == b"\x01\x01"
    assert house.turn.counters()["streams"] == 1
    writer.close()
    await until(lambda: house.turn.counters()["streams"] == 0)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-t", "-s"), id="tcp, send indications"),
        pytest.param(("-t", "-S"), id="tls"),
        pytest.param(("-t", "-S", "-s"), id="tls, send indications", marks=pytest.mark.long),
        pytest.param(("-t", "-y"), id="tcp, from client to client", marks=pytest.mark.long),
        pytest.param(("-t", "-S", "-y"), id="tls, from client to client"),
        pytest.param(("-t", "-c", "-m", "10", "-n", "100", "-l", "1201", "-z", "5"), id="tcp, ten clients"),
        pytest.param(
            ("-t", "-S", "-c", "-m", "10", "-n", "100", "-l", "1203", "-z", "5"),
            id="tls, ten clients",
            marks=pytest.mark.long,
        ),
    ],
)
async def test_nothing_is_lost(house, echo, arguments):  # noqa: F811 - pytest's way
    said = await uclient(house.address, "-n", "20", "-e", "127.0.0.1", "-r", str(echo), *arguments)
    assert "Total lost packets 0 " in said
    counters = house.turn.counters()
    assert counters["relayed_datagrams_in"] == counters["relayed_datagrams_out"] > 0
    assert counters["lost"] == 0
    await until(lambda: house.turn.counters()["streams"] == house.turn.counters()["allocations"] == 0)


@asynccontextmanager
async def linked(*servers):
    """Two peers of ours, each of which may use its relay alone, and the channel between them."""
    one, other = (PeerConnection(ice_servers=[server], ice_transport_policy="relay") for server in servers)
    arrived = asyncio.get_running_loop().create_future()
    other.on_data_channel = arrived.set_result
    channel = one.create_data_channel("test")
    one.on_ice_candidate, other.on_ice_candidate = other.add_ice_candidate, one.add_ice_candidate
    async with one, other:
        async with asyncio.timeout(WITHIN):
            await one.set_answer(await other.accept(await one.create_offer()))
            await asyncio.gather(one.connected(), other.connected(), channel.opened())
        yield channel, await arrived


@pytest.mark.parametrize("scheme", ["turn", "turns"])
async def test_two_ends_meet_that_have_nothing_but_the_hubs_tcp_port(house, scheme):
    async with linked(house.server(scheme, user="app"), house.server(scheme, user="device")) as ends:
        near, far = ends
        body = bytes(range(256)) * 40
        await near.send(body)
        assert await far.receive() == body
        assert house.turn.counters()["streams"] == 2
        assert house.turn.counters()["inside"] > 0, "from relay to relay, inside the server"


HOSTILE = {
    "no message": [b"\x00\x01\x00\x02"],
    "another cookie": [b"\x00\x01\x00\x00\x21\x12\xa4\x43"],
    "http after a request": [BINDING, b"GET / HTTP/1.1\r\n\r\n"],
    "a giant request": [b"\x00\x03\xff\xfc" + BINDING[4:] + bytes(60_000)],
    "giant channel data of a stranger": [BINDING, b"\x40\x00\xff\xff" + bytes(60_000)],
    "tls inside": [BINDING, b"\x16\x03\x01\x02\x00"],
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_who_speaks_nonsense_is_cut_off_and_nobody_else(house, what, tls):
    bystander = await house.connect(tls=tls)
    await answered(*bystander)
    reader, writer = await house.connect(tls=tls)
    for piece in HOSTILE[what]:
        writer.write(piece)
    assert await cut(reader)
    writer.close()
    await answered(*bystander)
    bystander[1].close()


async def test_a_thousand_half_messages_leave_room_and_time_for_others(house):
    """Each holds the beginning of a message; a call goes on beside them, and newcomers are let in."""
    held = []
    try:
        async with linked(house.server("turn", user="app"), house.server("turns", user="device")) as (
            near,
            far,
        ):
            for number in range(1000):
                raw = socket.create_connection(house.address)
                raw.sendall(ALLOCATE[: 5 + number % 15])
                held.append(raw)
            await until(lambda: house.turn.counters()["streams"] >= 1002)
            trips = []
            loop = asyncio.get_running_loop()
            for _ in range(50):
                begun = loop.time()
                await near.send(b"x" * 1000)
                await far.receive()
                trips.append(loop.time() - begun)
            assert sorted(trips)[25] < 0.2
            reader, writer = await house.connect()
            await answered(reader, writer)
            writer.close()
    finally:
        for raw in held:
            raw.close()
    await until(lambda: house.turn.counters()["streams"] <= 1)


async def test_a_half_message_is_not_waited_for(house):
    reader, writer = await house.connect()
    writer.write(ALLOCATE[:10])
    assert await cut(reader)
    writer.close()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a handshake"])
async def test_who_does_not_come_as_far_as_a_message_is_not_waited_for(certificate, said):
    """And who has shaken hands, but then says nothing inside TLS, no longer than who says nothing at all."""
    (chain, key), authority = certificate
    with serving() as server:
        door = _native.Door("127.0.0.1", 0, cert=chain, key=key, turn=server, handshake_timeout=0.5)
        trust = ssl.create_default_context(cadata=authority)
        try:
            half, writer = await asyncio.open_connection(*door.addresses[0])
            writer.write(said)
            whole, greeted = await asyncio.open_connection(
                *door.addresses[0], ssl=trust, server_hostname="localhost"
            )
            for reader, end in ((half, writer), (whole, greeted)):
                assert await cut(reader)
                end.close()
            assert door.counters()["expired"] == 2
            assert server.counters()["streams"] == 0
        finally:
            door.close()


class Heard(asyncio.DatagramProtocol):
    """Counts what comes."""

    def __init__(self):
        self.count = 0

    def datagram_received(self, *_):
        self.count += 1


async def test_a_client_that_takes_nothing_loses_its_own_datagrams_alone(house):
    """What is for it stays bounded, and comes in order when it takes again; its neighbour's link goes on."""
    username, password = credentials("slow", call="slow")
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.setblocking(False)
        relay, heard = await turn.create_turn_endpoint(
            Heard, house.address, username, password, transport="tcp"
        )
        relay.sendto(b"a channel, please", peer.getsockname())
        await loop.sock_recvfrom(peer, 100)
        stream = relay._TurnTransport__inner_protocol.transport
        stream.pause_reading()
        fast = (
            house.server("turn", user="app", call="fast"),
            house.server("turn", user="device", call="fast"),
        )
        async with linked(*fast) as (near, far):
            async with asyncio.timeout(WITHIN):
                sent = 0
                while house.turn.counters()["lost"] < 100:
                    await loop.sock_sendto(peer, bytes(1200), relay.get_extra_info("sockname"))
                    sent += 1
                    if sent % 50 == 0:
                        await asyncio.sleep(0.001)  # the neighbour's ends are in this loop, too
            begun = loop.time()
            await near.send(b"past it")
            async with asyncio.timeout(5):
                assert await far.receive() == b"past it"
            assert loop.time() - begun < 1
        stream.resume_reading()
        await until(lambda: heard.count > 100)
        relay.close()
        await until(lambda: house.turn.counters()["streams"] == 0)


async def test_without_a_turn_server_stun_is_refused(certificate):
    chain, key = certificate[0]
    door = _native.Door("127.0.0.1", 0, cert=chain, key=key)
    reader, writer = await asyncio.open_connection(*door.addresses[0])
    writer.write(BINDING)
    assert await cut(reader)
    assert door.counters()["refused"] == 1
    writer.close()
    door.close()


async def test_a_server_that_is_closed_takes_no_more_and_cuts_what_it_has(house):
    held, writer = await house.connect(tls=True)
    await answered(held, writer)
    house.turn.close()
    assert await cut(held)
    reader, later = await house.connect()
    later.write(BINDING)
    assert await cut(reader)
    assert house.door.counters()["refused"] == 1
    for each in (writer, later):
        each.close()
