"""Two peers of one process, joined by hand-carried signaling, and a TURN server."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest
import trustme

from plait.rtc import EncodedFrame, IceServer, PeerConnection, PerfectNegotiation

from ._page import opened

if TYPE_CHECKING:
    from plait.rtc import IceCandidate

WITHIN = 15


async def join(offerer: PeerConnection, answerer: PeerConnection, *, keep=lambda _line: True) -> None:
    """Negotiate and connect; `keep` chooses which candidates travel."""

    def carry(to: PeerConnection):
        def on_candidate(candidate: IceCandidate | None) -> None:
            if candidate is None or keep(candidate.candidate):
                to.add_ice_candidate(candidate)

        return on_candidate

    def chosen(description):
        lines = description.sdp.splitlines()
        kept = [line for line in lines if not line.startswith("a=candidate") or keep(line)]
        return type(description)(description.type, "\r\n".join(kept) + "\r\n")

    offerer.on_ice_candidate = carry(answerer)
    answerer.on_ice_candidate = carry(offerer)
    answer = await answerer.accept(chosen(await offerer.create_offer()))
    await offerer.set_answer(chosen(answer))
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(offerer.connected(), answerer.connected())


async def incoming(peer: PeerConnection) -> asyncio.Queue:
    """Queue what `on_data_channel` gets."""
    queue: asyncio.Queue = asyncio.Queue()
    peer.on_data_channel = queue.put_nowait
    return queue


async def open_channel(a: PeerConnection, b: PeerConnection, **options):
    """Join the two with one channel, and return both ends of it."""
    queue = await incoming(b)
    mine = a.create_data_channel("test", **options)
    await join(a, b)
    async with asyncio.timeout(WITHIN):
        await mine.opened()
        return mine, await queue.get()


def perfectly(a: PeerConnection, b: PeerConnection) -> None:
    """Join two ends by perfect negotiation."""
    ends: list[PerfectNegotiation] = []
    ends.append(PerfectNegotiation(a, lambda s: ends[1].receive(s), polite=True))  # noqa: PLW0108 - it is made next
    ends.append(PerfectNegotiation(b, ends[0].receive, polite=False))


@pytest.fixture
def negotiating():
    return perfectly


@pytest.fixture
async def peers():
    async with PeerConnection() as a, PeerConnection() as b:
        yield a, b


@pytest.fixture
async def page():
    async with opened() as page:
        yield page


@pytest.fixture
def joined():
    return join


@pytest.fixture
def channel_pair():
    return open_channel


@pytest.fixture(scope="session")
def h264() -> list[EncodedFrame]:
    """The first 60 frames of the street as Annex B access units."""
    source = Path(__file__).parents[2] / "src/plait/media/clips/street.mp4"
    frames = []
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        convert = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in container.demux(stream):
            for unit in convert.filter(packet) if packet.size else []:
                timestamp = int(unit.pts * unit.time_base * 90000)
                frames.append(EncodedFrame(bytes(unit), timestamp, unit.is_keyframe, "H264"))
            if len(frames) >= 60:
                break
    return frames


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def binding_request(transaction: bytes = b"plait-tests!") -> bytes:
    return struct.pack("!HHI", 0x0001, 0, 0x2112A442) + transaction


@dataclass
class Turn:
    port: int
    tls_port: int
    authorities: str
    log: Path

    def server(self, transport: str, **changes: str) -> IceServer:
        url = {
            "udp": f"turn:127.0.0.1:{self.port}",
            "tcp": f"turn:127.0.0.1:{self.port}?transport=tcp",
            "tls": f"turns:localhost:{self.tls_port}",
        }[transport]
        known = {"username": "plait", "credential": "secret", "authorities": self.authorities}
        return IceServer(url, **(known | changes))

    async def logged(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(WITHIN):
            while self.log.read_text().count(text) < times:  # noqa: ASYNC110 - a file tells nobody that it grew
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(directory: Path, *more: str):
    """Start coturn on loopback and wait until it answers."""
    if shutil.which("turnserver") is None:
        pytest.skip("coturn is missing (apt install coturn)")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1", "::1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    turn = Turn(free_port(), free_port(), authority.cert_pem.bytes().decode(), directory / "turnserver.log")
    lines = [
        "listening-ip=127.0.0.1",
        "relay-ip=127.0.0.1",
        f"listening-port={turn.port}",
        f"tls-listening-port={turn.tls_port}",
        f"cert={directory}/server.pem",
        f"pkey={directory}/server.pem",
        f"userdb={directory}/users.db",
        f"pidfile={directory}/turnserver.pid",
        "log-file=stdout",
        "simple-log",
        "verbose",
        "lt-cred-mech",
        "user=plait:secret",
        "realm=plait.test",
        "allow-loopback-peers",
        "no-cli",
        *more,
    ]
    config = directory / "turnserver.conf"
    config.write_text("\n".join(lines) + "\n")
    with turn.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "stdbuf", "-oL", "turnserver", "-c", str(config), stdout=log, stderr=log
        )
    try:
        await answering(turn.port)
        yield turn
    finally:
        process.terminate()
        await process.wait()


async def answering(port: int) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect(("127.0.0.1", port))
        async with asyncio.timeout(WITHIN):
            while True:
                try:
                    await loop.sock_sendall(probe, binding_request())
                    await asyncio.wait_for(loop.sock_recv(probe, 1500), 0.2)
                except (TimeoutError, ConnectionRefusedError):
                    await asyncio.sleep(0.05)
                else:
                    return


@pytest.fixture
async def turn(tmp_path):
    async with running(tmp_path) as server:
        yield server


@pytest.fixture
def coturn():
    return running
