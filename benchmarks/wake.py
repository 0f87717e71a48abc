"""What a wake costs a device on a battery: bytes on its link, and seconds that its radio is on.

Hot path: connect, tell ten readings that waited, take what is waiting, sleep (`thing/wake.py`). A round trip
is 50 ms, made by a relay that counts what passes; TLS 1.3 on all three. Ours is a wake after the first: its
session is resumed. MQTT: aiomqtt, QoS 1, a lasting session, to mosquitto. HTTPS: one POST of all ten as
JSON, and its answer, by which no command comes. Seconds are from the opening of the TCP connection to its end
on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import aiomqtt
import trustme

from benchmarks._broker import broker, there
from benchmarks.figures import Report, versions
from plait.testing import running_hub
from plait.thing import Thing, prop, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READINGS = 10
ONE_WAY = 0.025
EVERY = 1.5


@dataclass
class Wake:
    """One connection: bytes both ways, and seconds from its opening to its end."""

    bytes: int = 0
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0


class Relay:
    """Passes TCP on to a port, 25 ms later, and counts."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.wakes: asyncio.Queue[Wake] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Listen; yield the port."""
        server = await asyncio.start_server(self._passed, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wake = Wake()
        await asyncio.sleep(2 * ONE_WAY)  # TCP's own handshake
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._one_way(reader, far_writer, wake), self._one_way(far_reader, writer, wake))
        wake.seconds = time.perf_counter() - wake.began
        self.wakes.put_nowait(wake)

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wake: Wake) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                wake.bytes += len(data)
                loop.call_later(ONE_WAY, writer.write, data)
        await asyncio.sleep(ONE_WAY)
        writer.close()


class Weather(Thing):
    """Takes ten readings at each wake."""

    temperature: Annotated[float, "°C"] = prop(readonly=True, unit="degreeCelsius")

    async def main(self) -> None:
        """Take readings."""
        for number in range(READINGS):
            self.temperature = 20 + number / 10


async def _plait(
    folder: Path, certificate: Path, key: Path, trust: ssl.SSLContext, rounds: int
) -> list[Wake]:
    async with running_hub(folder / "hub", tls_cert=certificate, tls_key=key) as hub:
        relay = Relay(hub.port)
        async with relay.running() as port:
            serving = asyncio.create_task(
                serve(
                    Weather("urn:dev:weather"),
                    hub=f"https://127.0.0.1:{port}",
                    token=hub.token("urn:dev:weather"),
                    ssl=trust,
                    folder=folder,
                    mode="wake",
                    every=EVERY,
                )
            )
            await relay.wakes.get()
            wakes = [await relay.wakes.get() for _ in range(rounds)]
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    return wakes


def _report(number: int) -> bytes:
    value = {"name": "temperature", "value": 20 + number / 10, "timestamp": "2026-01-01T00:00:00.123456Z"}
    return json.dumps(value, separators=(",", ":")).encode()


async def _mqtt(folder: Path, certificate: Path, key: Path, trust: ssl.SSLContext, rounds: int) -> list[Wake]:
    wakes: list[Wake] = []
    with broker(folder, f"certfile {certificate}", f"keyfile {key}") as broker_port:
        relay = Relay(broker_port)
        async with relay.running() as port:
            for _ in range(rounds + 1):
                async with aiomqtt.Client(
                    "127.0.0.1", port, identifier="weather", clean_session=False, tls_context=trust
                ) as client:
                    if not wakes:
                        await client.subscribe("home/weather/commands", qos=1)
                    told = (
                        client.publish("home/weather", _report(number), qos=1) for number in range(READINGS)
                    )
                    await asyncio.gather(*told)
                wakes.append(await relay.wakes.get())
    return wakes[1:]


async def _https(certificate: Path, key: Path, trust: ssl.SSLContext, rounds: int) -> list[Wake]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")
        )
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    wakes = []
    async with server:
        relay = Relay(server.sockets[0].getsockname()[1])
        async with relay.running() as port:
            for _ in range(rounds):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
                body = b"[" + b",".join(map(_report, range(READINGS))) + b"]"
                head = (
                    "POST /things/weather HTTP/1.1\r\nHost: hub.local\r\nAuthorization: Bearer "
                    + "x" * 43
                    + "\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await reader.read()
                writer.close()
                wakes.append(await relay.wakes.get())
    return wakes


async def _all(rounds: int) -> Report:
    report = Report(versions=versions("aiomqtt", "picows"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        certificate, key = folder / "cert.pem", folder / "key.pem"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        ours = await _plait(folder, certificate, key, trust, rounds)
        peers = {"https": await _https(certificate, key, trust, rounds)}
        if there():
            peers = {"mqtt": await _mqtt(folder, certificate, key, trust, rounds), **peers}
    report.add(
        "wake.bytes",
        "B",
        [wake.bytes for wake in ours],
        peers={peer: [wake.bytes for wake in wakes] for peer, wakes in peers.items()},
    )
    report.add(
        "wake.radio_s",
        "s",
        [wake.seconds for wake in ours],
        peers={peer: [wake.seconds for wake in wakes] for peer, wakes in peers.items()},
    )
    if "mqtt" not in peers:
        report.lacks("wake.bytes of mqtt", "mosquitto is not installed")
    return report


def run(quick: bool) -> Report:
    """Take the figures."""
    return asyncio.run(_all(5 if quick else 20))
