"""WebSockets for real, on loopback: our two ends, and far ends that are not as they should be."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import subprocess

import msgspec
import picows
import pytest

from plait.transport import websocket
from plait.transport.base import TransportClosed
from plait.transport.client import Client
from plait.wire import messages
from plait.wire.errors import Forbidden, Unauthorized
from plait.wire.messages import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

BOTH = pytest.mark.parametrize(
    ("subprotocol", "text"), [(SUBPROTOCOL_JSON, True), (SUBPROTOCOL_MSGPACK, False)], ids=["json", "msgpack"]
)


class End:
    """One end, and what it saw."""

    def __init__(self):
        self.transport = None
        self.inbox = asyncio.Queue()
        self.closed = asyncio.get_running_loop().create_future()
        self.writable = asyncio.Event()

    def take(self, transport):
        self.transport = transport
        transport.on_message = self.inbox.put_nowait
        transport.on_close = lambda code, reason: self.closed.set_result((code, reason))
        transport.on_writable = self.writable.set


class Server:
    """A listener; `ends` are the connections that came, `request` the last upgrade."""

    def __init__(self):
        self.ends = asyncio.Queue()
        self.request = None
        self.refusal = None

    def upgrade(self, request):
        self.request = request
        if self.refusal is not None:
            refusal = picows.WSUpgradeResponse.create_error_response(self.refusal, b"go away")
            return picows.WSUpgradeResponseWithListener(refusal, None)
        end = End()
        self.ends.put_nowait(end)
        return websocket.accept(request, end.take)

    @contextlib.asynccontextmanager
    async def listen(self, **options):
        server = await picows.ws_create_server(
            self.upgrade, "127.0.0.1", 0, max_frame_size=websocket.MAX_FRAME, **options
        )
        scheme = "wss" if "ssl" in options else "ws"
        self.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        try:
            yield self
        finally:
            server.close()
            while not self.ends.empty():
                end = self.ends.get_nowait()
                if end.transport is not None and not end.closed.done():
                    end.transport.abort()
                    await end.closed

    async def join(self, **options):
        near = End()
        await websocket.connect(self.url, on_open=near.take, **options)
        far = await self.ends.get()
        self.ends.put_nowait(far)  # for the clean-up
        return near, far


@pytest.fixture
async def server():
    async with Server().listen() as server:
        yield server


@pytest.fixture
async def joined(server):
    near, far = await server.join()
    yield near, far
    near.transport.close()
    await near.closed


@BOTH
async def test_messages_both_ways_in_order(server, subprotocol, text):
    near, far = await server.join(subprotocols=(subprotocol,))
    assert near.transport.text is far.transport.text is text
    sizes = [0, 1, 125, 126, 65_535, 65_536, 1_048_576]
    for here, there in ((near, far), (far, near)):
        for size in sizes:
            here.transport.send(b"a" * size)
        assert [len(await there.inbox.get()) for _ in sizes] == sizes
    near.transport.close()
    assert await near.closed == await far.closed == (1000, "")


async def test_hub_picks_the_first_that_it_knows(server):
    near, _ = await server.join(subprotocols=("plait.v9", SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON))
    assert near.transport.text is False
    near.transport.close()


async def test_no_common_subprotocol(server):
    with pytest.raises(TransportClosed, match="400"):
        await websocket.connect(server.url, subprotocols=("chat",))


async def test_credentials_travel_in_headers(server):
    near, _ = await server.join(token="secret", cookie="session=1")
    assert server.request.headers["Authorization"] == "Bearer secret"
    assert server.request.headers["Cookie"] == "session=1"
    assert b"secret" not in server.request.path
    near.transport.close()


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "ключ"])
async def test_credentials_cannot_break_out_of_their_header(server, token):
    with pytest.raises(ValueError, match="ASCII"):
        await websocket.connect(server.url, token=token)


@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden), (503, TransportClosed)])
async def test_refusals_are_typed(server, status, error):
    server.refusal = status
    with pytest.raises(error, match="go away"):
        await websocket.connect(server.url)


async def test_problem_details_of_a_refusal_are_read():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = msgspec.json.encode(Unauthorized("this token was withdrawn").problem())
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        with pytest.raises(Unauthorized, match=r"^this token was withdrawn$"):
            await websocket.connect(f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/ws")


async def test_a_redirect_is_not_followed(server):
    async with Server().listen() as other:

        def elsewhere(request):
            answer = picows.WSUpgradeResponse.create_redirect_response(302, other.url)
            return picows.WSUpgradeResponseWithListener(answer, None)

        server.upgrade = elsewhere
        async with contextlib.AsyncExitStack() as stack:
            away = await picows.ws_create_server(elsewhere, "127.0.0.1", 0)
            stack.callback(away.close)
            url = f"ws://127.0.0.1:{away.sockets[0].getsockname()[1]}/ws"
            with pytest.raises(TransportClosed, match="302"):
                await websocket.connect(url, token="secret")
        assert other.request is None


async def test_nobody_listens():
    with pytest.raises(ConnectionRefusedError):
        await websocket.connect("ws://127.0.0.1:1/ws")


async def test_listener_that_says_nothing(monkeypatch):
    monkeypatch.setattr(websocket, "DIAL_WITHIN", 0.2)

    async def say_nothing(reader, writer):
        await reader.read()  # until the client gives up and closes
        writer.close()
        gone.set()

    gone = asyncio.Event()
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        with pytest.raises(TimeoutError):
            await websocket.connect(f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}/ws")
        await gone.wait()


async def test_a_listener_that_breaks_off_before_it_answers():
    async def break_off(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with await asyncio.start_server(break_off, "127.0.0.1", 0) as rude:
        with pytest.raises(TransportClosed, match="broke off"):
            await websocket.connect(f"ws://127.0.0.1:{rude.sockets[0].getsockname()[1]}/ws")


async def test_not_a_websocket_server():
    async def http(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(http, "127.0.0.1", 0) as server:
        with pytest.raises(TransportClosed):
            await websocket.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws")


async def test_close_codes_and_reasons_travel(joined):
    near, far = joined
    far.transport.close(4001, "displaced ü" * 30)
    code, reason = await near.closed
    assert code == 4001
    assert reason.startswith("displaced ü")
    assert len(reason.encode()) <= 123
    assert (await far.closed)[0] == 4001


async def test_after_close_nothing_is_sent(joined):
    near, _ = joined
    near.transport.close()
    near.transport.close(4002)
    with pytest.raises(TransportClosed):
        near.transport.send(b"{}")
    assert await near.closed == (1000, "")
    with pytest.raises(TransportClosed):
        near.transport.send(b"{}")


async def test_what_was_queued_arrives_before_the_close(joined):
    near, far = joined
    for _ in range(40):
        near.transport.send(b"x" * 1_000_000)
    near.transport.close()
    for _ in range(40):
        assert len(await far.inbox.get()) == 1_000_000
    assert (await far.closed)[0] == 1000


async def test_cut_without_a_word(joined):
    near, far = joined
    far.transport.abort()
    assert (await near.closed)[0] == 1006


async def test_far_end_that_does_not_answer_the_close(server, monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_WITHIN", 0.1)
    near, far = await server.join()
    far.transport._ws.underlying_transport.pause_reading()
    near.transport.close(4000, "no hello")
    assert await near.closed == (4000, "no hello")


async def test_back_pressure(joined):
    near, far = joined
    far.transport._ws.underlying_transport.pause_reading()
    sent = 0
    while near.transport.buffered < 1_000_000:
        near.transport.send(b"x" * 100_000)
        sent += 1
    drained = asyncio.ensure_future(near.transport.drain())
    await asyncio.sleep(0.05)
    assert not drained.done()
    assert not near.writable.is_set()
    far.transport._ws.underlying_transport.resume_reading()
    await drained
    await near.writable.wait()
    assert near.transport.buffered < 100_000
    for _ in range(sent):
        assert len(await far.inbox.get()) == 100_000


async def test_drain_ends_when_the_connection_does(server):
    near, far = await server.join()
    far.transport._ws.underlying_transport.pause_reading()
    while near.transport.buffered < 1_000_000:
        near.transport.send(b"x" * 100_000)
    drained = asyncio.ensure_future(near.transport.drain())
    await asyncio.sleep(0)
    near.transport.abort()
    await drained
    assert not near.writable.is_set()


def frame(opcode, payload=b"", *, fin=True, masked=True, reserved=0):
    """Bytes of a frame, RFC 6455 section 5.2."""
    head = bytes([fin << 7 | reserved << 4 | opcode])
    mark = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mark | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", mark | 126, len(payload))
    else:
        head += struct.pack("!BQ", mark | 127, len(payload))
    return head + (bytes(4) if masked else b"") + payload


class Raw:
    """A client that writes bytes as it likes."""

    @classmethod
    async def join(cls, server, *, connection=b"Upgrade"):
        self = cls()
        host, port = server.url.removeprefix("ws://").removesuffix("/ws").split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        self.writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: " + connection + b"\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: plait.v1.json\r\n\r\n"
        )
        answer = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer
        assert b"plait.v1.json" in answer
        self.far = await server.ends.get()
        return self

    async def close_code(self):
        """Return the code of the close frame that comes."""
        head = await self.reader.readexactly(2)
        assert head[0] == 0x88
        payload = await self.reader.readexactly(head[1])
        self.writer.close()
        return struct.unpack("!H", payload[:2])[0]


TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9

WRONG = {
    "binary in a text connection": ([frame(BINARY, b"{}")], 1003),
    "continuation of nothing": ([frame(CONTINUATION, b"{}")], 1002),
    "a message inside another": ([frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], 1002),
    "reserved bits": ([frame(TEXT, b"{}", reserved=4)], 1002),
    "reserved opcode": ([frame(3, b"{}")], 1002),
    "not masked": ([frame(TEXT, b"{}", masked=False)], 1002),
    "fragmented ping": ([frame(PING, b"", fin=False)], 1002),
    "oversize frame": ([frame(TEXT, b"x" * (websocket.MAX_FRAME + 1))], 1009),
    "oversize in fragments": (
        [frame(TEXT, b"x" * websocket.MAX_FRAME, fin=False), frame(CONTINUATION, b"y")],
        1009,
    ),
    "garbage": ([bytes(range(255, 100, -1))], 1002),
    "close code that is not one": ([frame(CLOSE, b"\x00\x05")], 1002),
}


@pytest.mark.parametrize(("frames", "code"), WRONG.values(), ids=WRONG.keys())
async def test_frames_that_break_the_protocol(server, frames, code):
    raw = await Raw.join(server)
    raw.writer.writelines(frames)
    assert await raw.close_code() == code
    assert (await raw.far.closed)[0] == code
    assert raw.far.inbox.empty()


@pytest.mark.parametrize("connection", [b"keep-alive, Upgrade", b"upgrade", b"close\r\nConnection: UPGRADE"])
async def test_connection_header_is_a_list(server, connection):
    """Firefox keeps alive what it upgrades."""
    raw = await Raw.join(server, connection=connection)
    raw.writer.write(frame(CLOSE))
    assert await raw.close_code() == 1000


async def test_fragments_are_joined(server):
    raw = await Raw.join(server)
    raw.writer.write(frame(TEXT, b'{"a":', fin=False))
    raw.writer.write(frame(PING, b"between"))
    raw.writer.write(frame(CONTINUATION, b"1", fin=False) + frame(CONTINUATION, b"}"))
    assert await raw.far.inbox.get() == b'{"a":1}'
    assert await raw.reader.readexactly(9) == b"\x8a\x07between"
    raw.writer.write(frame(CLOSE, struct.pack("!H", 1001) + b"bye"))
    assert await raw.close_code() == 1001
    assert await raw.far.closed == (1001, "bye")


async def test_close_frame_without_a_code(server):
    raw = await Raw.join(server)
    raw.writer.write(frame(CLOSE))
    assert await raw.close_code() == 1000
    assert (await raw.far.closed)[0] == 1005


async def test_silent_peer_is_noticed():
    pings = {"enable_auto_ping": True, "auto_ping_idle_timeout": 0.1, "auto_ping_reply_timeout": 0.1}
    async with Server().listen(**pings) as server:
        raw = await Raw.join(server)  # answers no ping
        assert (await raw.far.closed)[0] in (1001, 1006)
        raw.writer.close()


async def test_busy_peer_is_not_taken_for_silent():
    """One whose answer to a ping waits behind its messages lives all the same."""
    pings = {"enable_auto_ping": True, "auto_ping_idle_timeout": 0.2, "auto_ping_reply_timeout": 0.2}
    async with Server().listen(**pings) as server:
        raw = await Raw.join(server)
        assert await raw.reader.readexactly(2) == b"\x89\x00"
        raw.writer.write(frame(TEXT, b"{}"))
        await raw.far.inbox.get()
        assert await raw.reader.readexactly(2) == b"\x89\x00"  # the next one, not a close
        raw.writer.close()


async def test_client_notices_a_silent_hub(server, monkeypatch):
    monkeypatch.setattr(websocket, "PING_AFTER", 0.1)
    monkeypatch.setattr(websocket, "PONG_WITHIN", 0.1)
    near, far = await server.join()
    far.transport._ws.underlying_transport.pause_reading()
    assert (await near.closed)[0] in (1001, 1006)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=hub"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


async def test_tls(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    async with Server().listen(ssl=context) as server:
        trusted = ssl.create_default_context(cafile=certificate / "cert.pem")
        near, far = await server.join(ssl=trusted)
        near.transport.send(b"x" * 500_000)
        assert len(await far.inbox.get()) == 500_000
        near.transport.close()
        assert await near.closed == (1000, "")
        with pytest.raises(ssl.SSLCertVerificationError):
            await websocket.connect(server.url)


@pytest.mark.parametrize(
    ("hub", "url"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
        ("https://home.example/", "wss://home.example/ws"),
        ("https://home.example/plait/ws", "wss://home.example/plait/ws"),
        ("ws://[::1]:8080/ws?x=1#y", "ws://[::1]:8080/ws"),
    ],
)
def test_endpoint(hub, url):
    assert websocket.endpoint(hub) == url


@pytest.mark.parametrize("hub", ["", "127.0.0.1:8080", "ftp://x", "http://"])
def test_not_an_endpoint(hub):
    with pytest.raises(ValueError, match="Not a hub's address"):
        websocket.endpoint(hub)


@BOTH
async def test_client_over_a_server_that_is_killed_in_mid_stream(hub, subprotocol, text):
    """Nothing is lost, doubled or out of order, though the listener and its session go away thrice."""
    port = 0
    client = None
    for life in range(4):
        server = await picows.ws_create_server(
            lambda request: websocket.accept(request, hub.attach), "127.0.0.1", port
        )
        if client is None:
            port = server.sockets[0].getsockname()[1]
            client = Client(f"http://127.0.0.1:{port}", on_message=lambda _: None, brief=not text)
            await client.start()
        for value in range(100):
            client.notify(messages.OBSERVE_PROPERTY, name="t", value=life * 100 + value)
        await hub.until(lambda life=life: len(hub.received) > life * 100 + 30)
        if life < 3:
            server.close()
            hub.kill()
    assert await client.flush(10)
    assert [message.value for message in hub.received] == list(range(400))
    await client.close()
    server.close()
