"""The door on loopback, plain and with TLS: what good clients get."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from plait.hub.contracts import Principal
from plait.hub.door import Door, DoorSettings
from plait.transport import deflate, websocket
from plait.wire.errors import Forbidden, Unauthorized
from plait.wire.messages import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

from .conftest import within


async def app(scope, receive, send):
    """What the tests ask: a digest of what was sent, many bytes, or the scope."""
    path, query = scope["path"], scope["query_string"].decode()
    digest, size = hashlib.sha256(), 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        digest.update(event["body"])
        size += len(event["body"])
        if not event["more_body"]:
            break
    said = {"sha256": digest.hexdigest(), "size": size}
    if path == "/scope":
        said = {"scheme": scope["scheme"], "client": scope["client"], "server": scope["server"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/many":
        for _ in range(int(query)):
            await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})


class Echo:
    """Lets in who has the token, and sends back what it is sent."""

    def __init__(self):
        self.transports = []
        self.closed = asyncio.Queue()
        self.asked = []

    def authorize(self, connection):
        self.asked.append(connection)
        token = connection.headers.get("authorization")
        if token == "Bearer broken":
            raise RuntimeError("the check itself is broken")
        if token != "Bearer good":
            raise Unauthorized("Bring a token")
        if connection.headers.get("origin"):
            raise Forbidden("Not from there")
        return Principal("thing", "urn:dev:lamp")

    def opened(self, transport, principal):
        assert principal == Principal("thing", "urn:dev:lamp")
        self.transports.append(transport)
        transport.on_message = transport.send
        transport.on_close = lambda code, reason: self.closed.put_nowait((code, reason))


class House:
    """A door with its guests, and how to reach it."""

    def __init__(self, authority, tls, **settings):
        self.tls = tls
        self.echo = Echo()
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)
        if tls:
            settings["certificate"] = (authority.chain.read_bytes(), authority.key.read_bytes())
        self.door = Door(
            app, authorize=self.echo.authorize, opened=self.echo.opened, settings=DoorSettings(**settings)
        )

    def url(self, path="", scheme="http"):
        return f"{scheme}{'s' if self.tls else ''}://127.0.0.1:{self.door.port}{path}"

    def http(self, **options):
        return httpx.AsyncClient(base_url=self.url(), verify=self.trust, trust_env=False, **options)

    async def dial(self, token="good", **options):
        options = {"ssl": self.trust if self.tls else None} | options
        return await websocket.connect(self.url("/ws", "ws"), token=token, **options)

    async def raw(self):
        options = {"ssl": self.trust, "server_hostname": "localhost"} if self.tls else {}
        return await asyncio.open_connection("127.0.0.1", self.door.port, **options)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    folder = tmp_path_factory.mktemp("certificates")
    authority.chain, authority.key = folder / "chain.pem", folder / "key.pem"
    authority.chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    authority.key.write_bytes(issued.private_key_pem.bytes())
    return authority


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
async def house(request, authority):
    house = House(authority, request.param)
    async with house.door:
        yield house


async def test_http_keeps_its_connection_and_tells_scheme_and_client(house):
    async with house.http() as client:
        first = (await client.get("/scope")).json()
        second = (await client.get("/scope")).json()
    assert first == second, "the same connection was not used again"
    assert first["scheme"] == ("https" if house.tls else "http")
    assert first["client"][0] == "127.0.0.1"
    assert first["server"] == ["127.0.0.1", house.door.port]
    assert house.door.counters()["accepted"] == 1


async def test_big_bodies_arrive_whole_both_ways(house):
    body = os.urandom(8 << 20)
    async with house.http() as client:
        said = (await client.post("/", content=body)).json()
        assert said == {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
        many = await client.get("/many?256")
        assert len(many.content) == 256 << 16


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK])
async def test_websocket_echoes_from_a_byte_to_megabytes(house, subprotocol):
    transport = await house.dial(subprotocols=(subprotocol,))
    assert transport.text == house.echo.transports[0].text == (subprotocol == SUBPROTOCOL_JSON)
    assert house.echo.transports[0].peer.startswith("127.0.0.1:")
    inbox = asyncio.Queue()
    transport.on_message = inbox.put_nowait
    for size in (1, 200, 70_000, 3 << 20):
        transport.send(b"x" * size)
        assert await inbox.get() == b"x" * size
    transport.close(1000, "enough")
    assert await house.echo.closed.get() == (1000, "enough")


async def test_a_frame_over_the_limit_closes_with_1009_and_only_this_connection(house):
    bystander, transport = await house.dial(), await house.dial()
    closed = asyncio.get_running_loop().create_future()
    transport.on_close = lambda code, _: closed.set_result(code)
    transport.send(b"x" * ((4 << 20) + 1))
    assert await closed == 1009
    inbox = asyncio.Queue()
    bystander.on_message = inbox.put_nowait
    bystander.send(b"still here")
    assert await inbox.get() == b"still here"
    bystander.close()


@pytest.mark.parametrize(
    ("token", "headers", "status", "problem"),
    [
        ("bad", {}, 401, "urn:plait:problem:unauthorized"),
        ("good", {"Origin": "http://evil.example"}, 403, "urn:plait:problem:forbidden"),
        ("broken", {}, 500, "about:blank"),
    ],
)
async def test_who_may_not_in_gets_a_problem(house, caplog, token, headers, status, problem):  # noqa: PLR0917 - a table
    async with house.http() as client:
        answer = await client.get("/ws", headers=handshake() | {"Authorization": f"Bearer {token}"} | headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == problem
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert not house.echo.transports
    assert ("credential" in caplog.text) == (status == 500), "a fault of ours is logged, a refusal is not"


async def test_only_one_path_upgrades_and_a_subprotocol_must_be_known(house):
    good = handshake() | {"Authorization": "Bearer good"}
    async with house.http() as client:
        elsewhere = await client.get("/things", headers=good)
        unknown = await client.get("/ws", headers=good | {"Sec-WebSocket-Protocol": "chat"})
        plain = await client.get("/ws")
    assert (elsewhere.status_code, unknown.status_code) == (404, 400)
    assert plain.status_code == 200, "without an upgrade /ws is the application's"
    assert not house.echo.transports


async def test_frames_sent_along_with_the_request_are_not_lost(house):
    reader, writer = await house.raw()
    frame = b"\x81\x85\0\0\0\0hello"
    writer.write(request(handshake() | {"Authorization": "Bearer good"}) + frame)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in answer.splitlines()[0]
    assert b"permessage-deflate" not in answer
    assert await reader.readexactly(7) == b"\x81\x05hello"
    writer.close()
    assert (await house.echo.closed.get())[0] == 1006


async def test_both_families_listen_on_one_port(authority):
    house = House(authority, tls=False, host="localhost")
    async with house.door:
        assert len({port for _, port in house.door.addresses}) == 1
        for ip, port in house.door.addresses:
            async with httpx.AsyncClient(trust_env=False) as client:
                host = f"[{ip}]" if ":" in ip else ip
                assert (await client.get(f"http://{host}:{port}/scope")).json()["client"][0] == ip


async def test_a_tls_door_sends_plain_clients_to_tls(authority):
    house = House(authority, tls=True)
    async with house.door:
        port = house.door.port
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/a%20b?c=d")
            assert answer.status_code == 308
            assert answer.headers["location"] == f"https://127.0.0.1:{port}/a%20b?c=d"
        with pytest.raises(Forbidden, match="wss"):
            await websocket.connect(f"ws://127.0.0.1:{port}/ws", token="good")


async def test_a_new_certificate_serves_new_connections_and_a_bad_one_changes_nothing(authority):
    house = House(authority, tls=True)
    other = trustme.CA()
    issued = other.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    async with house.door:
        old = await house.dial()
        with pytest.raises(ValueError, match="does not belong"):
            house.door.reload(chain, authority.key.read_bytes())
        (await house.dial()).close()
        house.door.reload(chain, issued.private_key_pem.bytes())
        with pytest.raises(ssl.SSLCertVerificationError):
            await house.dial()
        other.configure_trust(house.trust)
        (await house.dial()).close()
        inbox = asyncio.Queue()
        old.on_message = inbox.put_nowait
        old.send(b"as before")
        assert await inbox.get() == b"as before"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_stop_says_goodbye_and_leaves_nothing_open(authority, tls):
    gc.collect()  # what earlier tests have left
    before = descriptors()
    house = House(authority, tls)
    await house.door.start()
    codes = asyncio.Queue()
    for _ in range(20):
        transport = await house.dial()
        transport.on_close = lambda code, reason: codes.put_nowait((code, reason))
    async with house.http() as client:
        await client.get("/scope")  # leaves a connection that is kept alive
        port = house.door.port
        await house.door.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert [await codes.get() for _ in range(20)] == [(1001, "the hub is going away")] * 20
    await house.door.stop()  # once more does nothing
    # A socket of our own clients may go a moment later.
    await within(lambda: descriptors() <= before)


async def test_stop_is_bounded_where_a_client_does_not_go(authority):
    house = House(authority, tls=False)
    await house.door.start()
    reader, writer = await house.raw()
    writer.write(request(handshake() | {"Authorization": "Bearer good"}))
    await reader.readuntil(b"\r\n\r\n")  # from here on it answers nothing
    _, idle = await house.raw()
    idle.write(b"GET /scope HTTP/1.1\r\n")  # and this one never ends its request
    await idle.drain()
    async with asyncio.timeout(3):
        await house.door.stop(within=0.2)
    writer.close()
    idle.close()


async def test_a_silent_websocket_is_pinged_and_dropped(authority):
    house = House(authority, tls=False, ping_after=0.1, pong_within=0.1)
    async with house.door:
        lively = await house.dial()
        reader, writer = await house.raw()
        writer.write(request(handshake() | {"Authorization": "Bearer good"}))
        await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readexactly(2))[0] == 0x89, "a ping"
        code, _ = await house.echo.closed.get()
        assert code != 1000
        writer.close()
        lively.send(b"alive")  # its end answers pings
        assert house.door.counters()["websockets"] == 1
        lively.close()


@pytest.mark.parametrize("what", ["taken", "address", "name"])
async def test_what_cannot_be_listened_on_is_named(authority, what):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings, cause = {
            "taken": ({"port": port}, f"cannot listen on 127.0.0.1:{port}: Address already in use"),
            "address": ({"host": "203.0.113.7"}, "cannot listen on 203.0.113.7:0"),
            "name": ({"host": "no-such-host.invalid"}, "cannot find the address"),
        }[what]
        with pytest.raises(OSError, match=cause):
            await House(authority, tls=False, **settings).door.start()


@pytest.mark.parametrize(
    ("chain", "key", "cause"),
    [
        (b"", None, "no CERTIFICATE"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "certificate"),
        (None, b"no key", "private key"),
    ],
)
async def test_bad_pem_is_named(authority, chain, key, cause):
    good = House(authority, tls=True)
    pair = [
        given if given is not None else file.read_bytes()
        for given, file in ((chain, authority.chain), (key, authority.key))
    ]
    settings = DoorSettings(certificate=tuple(pair))
    door = Door(app, authorize=good.echo.authorize, opened=good.echo.opened, settings=settings)
    with pytest.raises(ValueError, match=cause):
        await door.start()


async def test_over_the_limit_connections_are_refused_and_room_is_found_again(authority):
    house = House(authority, tls=False, max_connections=3)
    async with house.door:
        held = [await house.dial() for _ in range(3)]
        reader, writer = await house.raw()
        assert await reader.read() == b""
        writer.close()
        assert house.door.counters()["refused"] == 1
        held.pop().close()
        await house.echo.closed.get()
        await asyncio.sleep(0)  # the stream is closed right after its WebSocket
        inbox = asyncio.Queue()
        transport = await house.dial()
        transport.on_message = inbox.put_nowait
        transport.send(b"in")
        assert await inbox.get() == b"in"


def handshake():
    return {
        "Host": "127.0.0.1",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Extensions": "permessage-deflate",
        "Sec-WebSocket-Protocol": SUBPROTOCOL_JSON,
    }


def request(headers):
    lines = ["GET /ws HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def descriptors():
    """How many sockets, pairs and event descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_what_is_longer_than_a_packet_goes_deflated(house):
    """By hand, since it is agreed on only where the door hands the header on."""
    reader, writer = await house.raw()
    head = (
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Authorization: Bearer good\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL_JSON}\r\n"
        f"Sec-WebSocket-Extensions: {deflate.OFFER}\r\n\r\n"
    )
    writer.write(head.encode())
    answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
    assert f"sec-websocket-extensions: {deflate.OFFER}" in answer.lower()
    message = b"a=rtcp-fb:127 nack pli\r\n" * 100
    house.echo.transports[0].send(message)
    first, length = await asyncio.wait_for(reader.readexactly(2), 10)
    assert first == 0b1100_0001, "text, final, RSV1"
    assert length < 126
    assert deflate.inflate(await asyncio.wait_for(reader.readexactly(length), 10), len(message)) == message
    writer.close()
