"""The door and clients that are broken, slow, hostile or gone: none disturbs another, none is kept long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import struct
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from plait import _native
from plait.hub import doorway
from plait.hub.contracts import Principal
from plait.hub.door import Door, DoorSettings
from plait.transport import websocket


async def app(scope, receive, send):
    """Send as many MiB as the path says; for a word, so much that a little is left over in our buffer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] in ("/closed", "/kept"):
        transport = send.__self__.transport
        while transport.get_write_buffer_size() < 8 << 10:
            await send({"type": "http.response.body", "body": bytes(8 << 10), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    for _ in range(int(scope["path"].strip("/") or 0)):
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
    await send({"type": "http.response.body", "body": b"done"})


def opened(transport, _):
    transport.on_message = transport.send


@pytest.fixture(scope="module")
def files():
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return {"certificate": (chain, issued.private_key_pem.bytes())}, trust


def make(files, tls, **settings):
    settings |= files[0] if tls else {}
    return Door(
        app, authorize=lambda _: Principal("user", "me"), opened=opened, settings=DoorSettings(**settings)
    )


BOTH = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def works(door, files, tls):
    """A good client is served, by HTTP and by WebSocket."""
    scheme = "s" if tls else ""
    async with httpx.AsyncClient(verify=files[1], trust_env=False) as client:
        assert (await client.get(f"http{scheme}://127.0.0.1:{door.port}/")).text == "done"
    transport = await websocket.connect(
        f"ws{scheme}://127.0.0.1:{door.port}/ws", ssl=files[1] if tls else None
    )
    inbox = asyncio.Queue()
    transport.on_message = inbox.put_nowait
    transport.send(b"hello")
    assert await inbox.get() == b"hello"
    closed = asyncio.Event()
    transport.on_close = lambda *_: closed.set()
    transport.close()
    await closed.wait()


@pytest.mark.parametrize(
    "first", [b"\x00\x01\x00\x00", b"\x80", b"\xff" * 100, b"get / HTTP/1.1\r\n\r\n", b"\n"]
)
@BOTH
async def test_garbage_as_the_first_byte_is_refused_at_once(files, tls, first):
    async with make(files, tls) as door:
        assert await said_to(door, first) == b""
        assert door.counters()["refused"] == 1
        await works(door, files, tls)


async def test_tls_to_a_door_without_it_is_refused(files):
    async with make(files, tls=False) as door:
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection("127.0.0.1", door.port, ssl=files[1])
        assert door.counters()["refused"] == 1


@pytest.mark.parametrize(
    "rest", [b"", b"\x03\x01" + os.urandom(200), b"\x03\x01\xff\xff", b"\x03\x03\x00\x04abcd"]
)
async def test_a_broken_handshake_is_counted_and_closed(files, rest):
    async with make(files, tls=True) as door:
        await said_to(door, b"\x16" + rest, end=True)
        assert door.counters()["tls_failed"] == 1
        await works(door, files, tls=True)


async def test_a_client_that_speaks_another_protocol_inside_tls_is_turned_away(files):
    files[1].set_alpn_protocols(["h2"])
    async with make(files, tls=True) as door:
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            await asyncio.open_connection("127.0.0.1", door.port, ssl=files[1])
        files[1].set_alpn_protocols(["h2", "http/1.1"])
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=files[1])
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.write(b"\x00\x01 not HTTP either")
        assert await reader.read() == b""
        assert door.counters()["refused"] == 1
        writer.close()


@BOTH
async def test_the_silent_and_the_slow_are_closed_in_time(files, tls):
    async with make(files, tls, handshake_within=0.3) as door:
        silent, _silent = await asyncio.open_connection("127.0.0.1", door.port)
        slow, drip = await asyncio.open_connection("127.0.0.1", door.port)

        async def dripping():
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100):
                with contextlib.suppress(OSError):
                    drip.write(bytes([byte]))
                    await asyncio.sleep(0.02)

        task = asyncio.create_task(dripping())
        async with asyncio.timeout(2):
            assert await silent.read() == b""
            with contextlib.suppress(ConnectionError):
                assert await slow.read() == b""
        counters = door.counters()
        assert counters["expired"] == 1 + tls, "a plain door refuses the first byte of TLS at once"
        task.cancel()
        await asyncio.wait([task])
        drip.close()
        _silent.close()
        await works(door, files, tls)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b""),  # and never the end of the head
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", None),  # nor of the body
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, b"431 "),
        (b"NONSENSE\r\n\r\n", b"400 "),
    ],
    ids=["head", "body", "large head", "nonsense"],
)
@BOTH
async def test_a_bad_request_ends_its_own_connection(files, tls, sent, answer, monkeypatch):
    monkeypatch.setattr(doorway, "HEAD_WITHIN", 0.3)
    monkeypatch.setattr(doorway, "STALLED_AFTER", 0.3)
    async with make(files, tls) as door:
        options = {"ssl": files[1]} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, **options)
        writer.write(sent)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                said = await reader.read()
                assert answer is None or (answer in said if answer else not said)
        writer.close()
        await works(door, files, tls)


@BOTH
async def test_a_body_that_comes_byte_by_byte_is_not_waited_for(files, tls, monkeypatch):
    monkeypatch.setattr(doorway, "STALLED_AFTER", 0.5)
    async with make(files, tls) as door:
        options = {"ssl": files[1]} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, **options)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")

        async def dripping():
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(dripping())
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                await reader.read()  # an answer, as the route does not wait for the body; and the end
        task.cancel()
        writer.close()
        await works(door, files, tls)


@BOTH
async def test_a_request_for_a_websocket_behind_an_unanswered_one_is_refused(files, tls):
    async with make(files, tls) as door:
        options = {"ssl": files[1]} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, **options)
        upgrade = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        writer.write(b"GET /64 HTTP/1.1\r\nHost: x\r\n\r\n" + upgrade)
        async with asyncio.timeout(5):
            assert b"400 " in await reader.read()
        writer.close()


@BOTH
async def test_a_reader_that_stops_costs_little_and_is_given_up(files, tls, monkeypatch):
    monkeypatch.setattr(doorway, "STALLED_AFTER", 0.5)
    async with make(files, tls) as door:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", door.port))
        options = {"ssl": files[1], "server_hostname": "localhost"} if tls else {}
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024, **options)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        writer.write(b"GET /2000 HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # as a process that is stopped: its kernel still acknowledges
        await works(door, files, tls)
        await until(lambda: not door.counters()["active"])
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 << 10, "KiB, of 2,000 MiB"
        writer.transport.abort()


@pytest.mark.parametrize("path", ["/closed", "/kept"])
async def test_last_words_that_nobody_takes_do_not_hold_a_connection(files, monkeypatch, path):
    """What is left over is less than what makes writing pause, so nothing waits but the transport itself."""
    monkeypatch.setattr(doorway, "STALLED_AFTER", 0.3)
    async with make(files, tls=False, keep_alive=1) as door:
        head = "Connection: close\r\n" if path == "/closed" else ""
        with socket.socket() as stopped:
            stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stopped.connect(("127.0.0.1", door.port))
            stopped.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
            await until(lambda: door.counters()["active"] == 1)
            await until(lambda: door.counters()["active"] == 0)


@BOTH
async def test_hundreds_come_and_go_in_every_way_and_nothing_stays(files, tls):
    async with make(files, tls) as door:
        await works(door, files, tls)
        before = descriptors()

        async def come_and_go(number):
            options = {"ssl": files[1]} if tls and number % 4 else {}
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port, **options)
            if number % 4 == 1:
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readuntil(b"done")
            elif number % 4 == 2:
                writer.write(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
                linger = struct.pack("ii", 1, 0)  # a reset, with the answer under way
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif number % 4 == 3:
                await works(door, files, tls)
            writer.transport.abort() if number % 2 else writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

        for start in range(0, 300, 50):
            await asyncio.gather(*(come_and_go(number) for number in range(start, start + 50)))
        await until(lambda: not door.counters()["active"])
        assert door.counters()["websockets"] == 0
        await until(lambda: descriptors() <= before)


async def test_what_breaks_tls_later_on_ends_that_connection(files):
    async with make(files, tls=True) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=files[1])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"done")
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x14" + os.urandom(20))
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            await reader.read()
        assert door.counters()["tls_failed"] == 1
        await works(door, files, tls=True)
        writer.close()


async def test_a_client_that_comes_back_resumes_its_tls_session(files):
    async with make(files, tls=True) as door:

        def ask(session):
            plain = socket.create_connection(("127.0.0.1", door.port))
            with files[1].wrap_socket(plain, server_hostname="localhost", session=session) as secure:
                secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while secure.recv(1000):
                    pass
                return secure.session, secure.session_reused

        session, reused = await asyncio.to_thread(ask, None)
        assert not reused
        assert (await asyncio.to_thread(ask, session))[1]


STARVED = """
import resource, socket, sys, time
from plait import _native
door = _native.Door("127.0.0.1", 0)
clients = [socket.socket() for _ in range(40)]
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))  # the door has a few left, not the 40 that it needs
for client in clients:
    client.connect(door.addresses[0])
for client in clients:
    client.sendall(b"GET")
time.sleep(0.5)
few = len(door.accepted())
began = time.process_time()
time.sleep(0.5)
busy = time.process_time() - began
for client in clients[:30]:
    client.close()
time.sleep(1)
more = len(door.accepted())
door.close()
print(few, more, busy)
"""


async def test_a_process_out_of_descriptors_waits_and_goes_on():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARVED, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    few, more, busy = map(float, said.split())
    assert few < 40
    assert more > 0
    assert busy < 0.25, "it must not spin while it waits"


async def test_the_oldest_silent_connection_makes_room(files):
    door = _native.Door("127.0.0.1", 0, max_undecided=4)
    with contextlib.closing(door):
        address = door.addresses[0]
        silent = [socket.create_connection(address) for _ in range(4)]
        good = socket.create_connection(address)
        good.sendall(b"GET")
        handed = await until(door.accepted)
        assert silent[0].recv(1) == b""
        assert door.counters()["refused"] == 1
        for number in (*(sock.detach() for sock in (*silent, good)), *(fd for fd, *_ in handed)):
            os.close(number)


async def test_ends_pass_through_tls_each_way_by_itself(files):
    certificate, key = files[0]["certificate"]
    door = _native.Door("127.0.0.1", 0, cert=certificate, key=key)
    with contextlib.closing(door):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.addresses[0][1], ssl=files[1])
        writer.write(b"GET it all" * 1000)
        handed = await until(door.accepted)
        ((fd, peer, local, tls),) = handed
        assert tls
        assert (peer, local) == (writer.get_extra_info("sockname"), door.addresses[0])
        inner = socket.socket(fileno=fd)
        inner_reader, inner_writer = await asyncio.open_connection(sock=inner)
        assert await inner_reader.readexactly(10_000) == b"GET it all" * 1000
        inner_writer.write(b"and an end")
        inner_writer.write_eof()
        assert await reader.read() == b"and an end"
        writer.transport.abort()  # no close_notify, a cut: Python sees an end all the same
        assert await inner_reader.read() == b""
        inner_writer.close()
        writer.transport.abort()
        await until(lambda: not door.counters()["active"])


async def until(holds, within=10):
    """Ask until the answer is yes, and return it: the native thread tells nobody here."""
    async with asyncio.timeout(within):
        while not (answer := holds()):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
        return answer


def descriptors():
    """How many descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def said_to(door, first, *, end=False):
    """All that the door answers to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(first)
    if end:
        writer.write_eof()
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
