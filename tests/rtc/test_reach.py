"""STUN and TURN, against coturn: candidates from servers, connections through relays, servers that fail."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import asynccontextmanager, contextmanager

import pytest
import trustme

from plait.rtc import IceCandidate, IceServer, PeerConnection

WITHIN = 20
MAGIC = 0x2112A442


def binding_answer(request: bytes, ip: str, port: int) -> bytes:
    address = struct.unpack("!I", socket.inet_aton(ip))[0] ^ MAGIC
    mapped = struct.pack("!HHBBHI", 0x0020, 8, 0, 1, port ^ (MAGIC >> 16), address)
    return struct.pack("!HHI", 0x0101, len(mapped), MAGIC) + request[8:20] + mapped


class Responder(asyncio.DatagramProtocol):
    """A UDP server on loopback that answers each datagram with what `answer` makes of it."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.seen: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address) -> None:
        self.seen.put_nowait((time.monotonic(), data))
        for reply in self.answer(data):
            self.transport.sendto(reply, address)


@asynccontextmanager
async def responder(answer):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Responder(answer), local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


class Gathered:
    """What a peer tells while it gathers."""

    def __init__(self, peer: PeerConnection) -> None:
        self.lines: list[str] = []
        self.errors: asyncio.Queue = asyncio.Queue()
        self.end = asyncio.Event()
        self._more = asyncio.Event()
        peer.on_ice_candidate = self._on_candidate
        peer.on_ice_candidate_error = self.errors.put_nowait

    def _on_candidate(self, candidate) -> None:
        if candidate is None:
            self.end.set()
        else:
            self.lines.append(candidate.candidate)
            self._more.set()

    async def line(self, kind: str) -> list[str]:
        """Wait for a candidate of this type; its fields."""
        async with asyncio.timeout(WITHIN):
            while True:
                for line in self.lines:
                    if f" typ {kind} " in f"{line} ":
                        return line.split()
                self._more.clear()
                await self._more.wait()

    async def error(self):
        return await asyncio.wait_for(self.errors.get(), WITHIN)

    async def ended(self) -> None:
        await asyncio.wait_for(self.end.wait(), WITHIN)


@contextmanager
def silent_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


def local_candidates(report: dict, kind: str) -> list[dict]:
    return [
        entry
        for entry in report.values()
        if entry["type"] == "local-candidate" and entry["candidateType"] == kind
    ]


async def test_the_address_behind_a_nat_is_found(turn):
    loop = asyncio.get_running_loop()
    outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with outer, inner:
        outer.bind(("127.0.0.1", 0))
        outer.connect(("127.0.0.1", turn.port))
        inner.bind(("127.0.0.1", 0))
        for sock in (inner, outer):
            sock.setblocking(False)

        async def translate() -> None:
            while True:
                request, client = await loop.sock_recvfrom(inner, 2000)
                await loop.sock_sendall(outer, request)
                await loop.sock_sendto(inner, await loop.sock_recv(outer, 2000), client)

        nat = asyncio.create_task(translate())
        url = f"stun:127.0.0.1:{inner.getsockname()[1]}"
        async with PeerConnection(ice_servers=[IceServer(url)]) as peer:
            gathered = Gathered(peer)
            peer.create_data_channel("test")
            await peer.create_offer()
            fields = await gathered.line("srflx")
            assert (fields[4], int(fields[5])) == outer.getsockname()
            await gathered.ended()
            (entry,) = local_candidates(await peer.stats(), "srflx")
            assert entry["url"] == url
            assert (entry["address"], entry["port"]) == outer.getsockname()
            # Host candidates of each address come before, and stay.
            assert any(" typ host" in line for line in gathered.lines)
        nat.cancel()


async def test_without_a_nat_nothing_is_added_and_gathering_ends(turn):
    async with PeerConnection(ice_servers=[IceServer(f"stun:localhost:{turn.port}")]) as peer:
        gathered = Gathered(peer)
        peer.create_data_channel("test")
        await peer.create_offer()
        await gathered.ended()
        assert all(" typ host" in line for line in gathered.lines)


async def test_dead_servers_delay_nothing(joined):
    with silent_port() as port:
        dead = [
            IceServer((f"stun:127.0.0.1:{port}", f"stun:127.0.0.1:{port + 1}", "stun:nowhere.invalid")),
            IceServer((f"turn:127.0.0.1:{port}", f"turn:127.0.0.1:{port}?transport=tcp"), "plait", "secret"),
        ]
        async with PeerConnection(ice_servers=dead) as a, PeerConnection(ice_servers=dead) as b:
            channel = a.create_data_channel("test")
            start = time.monotonic()
            await joined(a, b)
            await asyncio.wait_for(channel.opened(), WITHIN)
            assert time.monotonic() - start < 3


async def test_a_silent_server_is_asked_again_after_a_quarter_and_half_a_second(joined):
    async with (
        responder(lambda _: []) as (server, port),
        PeerConnection(ice_servers=[IceServer(f"stun:127.0.0.1:{port}")]) as peer,
    ):
        gathered = Gathered(peer)
        peer.create_data_channel("test")
        await peer.create_offer()
        async with asyncio.timeout(WITHIN):
            (first, request), (second, again), (third, _) = [await server.seen.get() for _ in range(3)]
        assert request == again
        assert 0.2 < second - first < 0.45
        assert 0.45 < third - second < 0.9
        assert not gathered.end.is_set()


async def test_malformed_answers_are_ignored_and_the_true_one_taken():
    def answers(request: bytes) -> list[bytes]:
        true = binding_answer(request, "203.0.113.7", 40_000)
        foreign = binding_answer(request[:8] + b"another one!", "203.0.113.8", 40_000)
        lengths = [true[:length] for length in range(len(true))]
        unknown_family = true[:25] + b"\x07" + true[26:]
        too_long = true[:2] + b"\xff\xfc" + true[4:]
        empty = struct.pack("!HHI", 0x0101, 0, MAGIC) + request[8:20]
        return [*lengths, foreign, unknown_family, too_long, empty, request, true]

    async with (
        responder(answers) as (_, port),
        PeerConnection(ice_servers=[IceServer(f"stun:127.0.0.1:{port}")]) as peer,
    ):
        gathered = Gathered(peer)
        peer.create_data_channel("test")
        await peer.create_offer()
        fields = await gathered.line("srflx")
        assert fields[4:6] == ["203.0.113.7", "40000"]
        await gathered.ended()
        assert gathered.errors.empty()


async def test_a_server_that_refuses_is_told():
    def refuse(request: bytes) -> list[bytes]:
        error = struct.pack("!HHHBB", 0x0009, 4 + 8, 0, 5, 0) + b"No,thank"
        return [struct.pack("!HHI", 0x0111, len(error), MAGIC) + request[8:20] + error]

    async with (
        responder(refuse) as (_, port),
        PeerConnection(ice_servers=[IceServer(f"stun:127.0.0.1:{port}")]) as peer,
    ):
        gathered = Gathered(peer)
        peer.create_data_channel("test")
        await peer.create_offer()
        error = await gathered.error()
        assert (error.error_code, error.error_text, error.port) == (500, "No,thank", port)
        await gathered.ended()


async def test_a_name_that_does_not_resolve_is_told():
    async with PeerConnection(ice_servers=[IceServer("stun:nowhere.invalid")]) as peer:
        gathered = Gathered(peer)
        peer.create_data_channel("test")
        await peer.create_offer()
        error = await gathered.error()
        assert (error.url, error.error_code) == ("stun:nowhere.invalid", 701)
        await gathered.ended()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_two_peers_talk_through_relays_alone(turn, joined, transport):
    def relayed() -> PeerConnection:
        return PeerConnection(ice_servers=[turn.server(transport)], ice_transport_policy="relay")

    async with relayed() as a, relayed() as b:
        incoming: asyncio.Queue = asyncio.Queue()
        b.on_data_channel = incoming.put_nowait
        mine = a.create_data_channel("test")
        await joined(a, b)
        theirs = await asyncio.wait_for(incoming.get(), WITHIN)
        await mine.opened()
        # Every remainder of 4, which a stream pads, and more than a packet.
        messages = [bytes([number % 256]) * number for number in (*range(1, 64), 1199, 70_001, 200_000)]
        for message in messages:
            await mine.send(message)
            await theirs.send(message)
        for message in messages:
            assert await asyncio.wait_for(theirs.receive(), WITHIN) == message
            assert await asyncio.wait_for(mine.receive(), WITHIN) == message
        for peer in (a, b):
            report = await peer.stats()
            local = report[report["CP"]["localCandidateId"]]
            assert local["candidateType"] == "relay"
            assert local["relayProtocol"] == transport
            assert local["url"] == turn.server(transport).urls
            kinds = [entry["candidateType"] for entry in report.values() if "candidateType" in entry]
            assert "host" not in kinds
    # Both allocations were given back: by a refresh to a lifetime of 0, or with their stream.
    await turn.logged("lifetime=0" if transport == "udp" else "delete: realm=", times=2)


async def test_one_end_alone_may_hide_behind_a_relay(turn, joined):
    hidden = PeerConnection(ice_servers=[turn.server("udp")], ice_transport_policy="relay")
    async with hidden as a, PeerConnection() as b:
        channel = a.create_data_channel("test")
        await joined(a, b)
        await asyncio.wait_for(channel.opened(), WITHIN)
        report = await a.stats()
        assert report[report["CP"]["localCandidateId"]]["candidateType"] == "relay"
        remote = (await b.stats())["CP"]["remoteCandidateId"]
        theirs = (await b.stats())[remote]
        (relay,) = local_candidates(report, "relay")
        assert (theirs["address"], theirs["port"]) == (relay["address"], relay["port"])


async def test_a_relay_that_goes_away_is_noticed(coturn, tmp_path, joined):
    async with PeerConnection() as far:
        async with coturn(tmp_path) as turn:
            near = PeerConnection(ice_servers=[turn.server("tcp")], ice_transport_policy="relay")
            gathered = Gathered(near)
            states: asyncio.Queue = asyncio.Queue()
            near.on_connection_state_change = states.put_nowait
            near.create_data_channel("test")
            await joined(near, far)
        async with near:
            error = await gathered.error()
            assert (error.error_code, error.port) == (701, turn.port)
            while await asyncio.wait_for(states.get(), WITHIN) != "disconnected":
                pass


async def test_a_stale_nonce_is_renewed(coturn, tmp_path, joined):
    async with coturn(tmp_path, "stale-nonce=1") as turn:

        def relayed() -> PeerConnection:
            return PeerConnection(ice_servers=[turn.server("udp")], ice_transport_policy="relay")

        async with relayed() as a, relayed() as b:
            gathered = Gathered(a)
            channel = a.create_data_channel("test")
            await a.create_offer()
            await gathered.line("relay")
            # The nonce of the allocation has run out when permissions are asked for.
            await asyncio.sleep(2.5)
            b.add_ice_candidate(IceCandidate(" ".join(await gathered.line("relay"))))
            await joined(a, b)
            await asyncio.wait_for(channel.opened(), WITHIN)
        await turn.logged("Stale nonce")


async def test_a_wrong_password_is_told_and_delays_nothing(turn, joined):
    server = turn.server("udp", credential="guess")
    async with PeerConnection(ice_servers=[server]) as a, PeerConnection() as b:
        errors: asyncio.Queue = asyncio.Queue()
        a.on_ice_candidate_error = errors.put_nowait
        channel = a.create_data_channel("test")
        start = time.monotonic()
        await joined(a, b)
        await asyncio.wait_for(channel.opened(), WITHIN)
        assert time.monotonic() - start < 3
        error = await asyncio.wait_for(errors.get(), WITHIN)
        assert (error.url, error.error_code) == (server.urls, 401)


async def test_a_certificate_of_an_unknown_authority_is_refused(turn):
    other = trustme.CA().cert_pem.bytes().decode()
    async with PeerConnection(ice_servers=[turn.server("tls", authorities=other)]) as peer:
        gathered = Gathered(peer)
        peer.create_data_channel("test")
        await peer.create_offer()
        error = await gathered.error()
        assert error.error_code == 701
        assert "certificate" in error.error_text
        await gathered.ended()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01\x01\xff\xff" * 30_000])
async def test_a_stream_that_is_no_turn_server_is_told(answer):
    async def serve(reader, writer) -> None:
        await reader.read(20)
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server = IceServer(f"turn:127.0.0.1:{port}?transport=tcp", "plait", "secret")
    async with listener, PeerConnection(ice_servers=[server]) as peer:
        gathered = Gathered(peer)
        peer.create_data_channel("test")
        await peer.create_offer()
        error = await gathered.error()
        assert (error.url, error.error_code) == (server.urls, 701)
        await gathered.ended()
