"""Who ends TLS: `python -m benchmarks.spikes.door [CONNECTIONS]` measures the candidates side by side.

For each way in: memory (PSS) for each idle connection, processor time of the server for each new connection,
200-byte echoes for each second of its processor time, and the median round trip. The figures that the choice
rests on are in docs/decisions/0001-who-owns-the-door.md.
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import picows
import psutil
import trustme

from plait import _native
from plait.hub.doorway import Stream, _upgraded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.hub.doorway import Upgraded

WAYS = ("picows", "picows on aiofastnet", "door", "asyncio TLS", "aiofastnet TLS", "door TLS")
ECHOES, BUSY = 40_000, 20


class Echo(picows.WSListener):  # type: ignore[misc] # picows' classes have no types
    """The server's end."""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Send it back."""
        if frame.msg_type == picows.WSMsgType.TEXT:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


class Caller(picows.WSListener):  # type: ignore[misc] # the same
    """The client's end: sends again until enough came back."""

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """Begin with nothing under way."""
        self.transport, self.left = transport, 0
        self.done: asyncio.Future[None] | None = None

    def on_ws_frame(self, transport: picows.WSTransport, _: picows.WSFrame) -> None:
        """Send the next, or be done."""
        self.left -= 1
        if self.left > 0:
            transport.send(picows.WSMsgType.TEXT, b"x" * 200)
        elif self.done is not None:
            self.done.set_result(None)

    async def trips(self, count: int) -> None:
        """Send and get back so many, one after another."""
        self.left, self.done = count, asyncio.get_running_loop().create_future()
        self.transport.send(picows.WSMsgType.TEXT, b"x" * 200)
        await self.done


async def serve(way: str, chain: str, key: str, pem: Sequence[bytes | None]) -> None:
    """Serve echoes one way and print the port."""
    loop = asyncio.get_running_loop()
    if way.startswith("door"):
        door = _native.Door("127.0.0.1", 0, cert=pem[0], key=pem[1])
        arriving: set[asyncio.Task[Any]] = set()

        def make() -> Upgraded:
            protocol = _upgraded(lambda _: Echo(), ping_after=60, pong_within=60)
            protocol.register = {protocol}
            return protocol

        def welcome() -> None:
            for fd, peer, local, tls in door.accepted():
                stream = Stream(fd, peer, local, int if tls else door.released)
                task = loop.create_task(loop.connect_accepted_socket(make, stream))
                arriving.add(task)
                task.add_done_callback(arriving.discard)

        loop.add_reader(door.fileno(), welcome)
        print(door.addresses[0][1], flush=True)
    else:
        context = None
        if "TLS" in way:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain, key)
        server = await picows.ws_create_server(
            lambda _: Echo(),
            "127.0.0.1",
            0,
            ssl=context,
            use_aiofastnet="aiofastnet" in way,
            read_buffer_init_size=2048,
            websocket_handshake_timeout=60,
        )
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)


def pss(pid: int) -> int:
    """KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))


def processor(pid: int) -> float:
    """Seconds."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def measure(way: str, server: subprocess.Popen[str], count: int, trust: ssl.SSLContext) -> None:
    """Print one line of figures."""
    assert server.stdout is not None
    pid, port = server.pid, int(server.stdout.readline())
    url = f"{'wss' if 'TLS' in way else 'ws'}://127.0.0.1:{port}/"
    callers: list[Caller] = []

    async def call() -> None:
        context = trust if "TLS" in way else None
        _, caller = await picows.ws_connect(Caller, url, ssl_context=context, websocket_handshake_timeout=60)
        callers.append(caller)

    await asyncio.gather(*(call() for _ in range(BUSY)))
    await asyncio.sleep(0.5)
    memory, spent = float(pss(pid)), processor(pid)
    for _ in range(count // 50):
        await asyncio.gather(*(call() for _ in range(50)))
    await asyncio.sleep(1)
    memory, spent = (pss(pid) - memory) / count, (processor(pid) - spent) / count
    began = processor(pid)
    await asyncio.gather(*(caller.trips(ECHOES // BUSY) for caller in callers[:BUSY]))
    rate = ECHOES / (processor(pid) - began)
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        await callers[0].trips(1)
        times.append(time.perf_counter() - start)
    trip = statistics.median(times) * 1e6
    print(f"| {way:<20} | {memory:6.1f} | {spent * 1e3:5.2f} | {rate:8,.0f} | {trip:4.0f} |", flush=True)


def main() -> None:
    """Measure every way."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        print("| way | KiB each idle | ms of CPU each connect | echoes each CPU s | round trip us |")
        for way in WAYS:
            arguments = [sys.executable, __file__, "--serve", way, str(chain), str(key)]
            with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
                asyncio.run(measure(way, server, count, trust))
                server.kill()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        WAY, CHAIN, KEY = sys.argv[2:]
        PEM = [Path(file).read_bytes() if "TLS" in WAY else None for file in (CHAIN, KEY)]
        asyncio.run(serve(WAY, CHAIN, KEY, PEM))
    else:
        main()
