"""Relaying: our TURN server beside coturn, in the same rounds, each alone on a core of its own.

Hot path: ChannelData of 1,200 bytes between clients and peers, half of what is offered in each direction,
over UDP and TCP, by 1 client and by 100. `turn.udp_mbit_600` is what arrived of 600 Mbit/s offered, in
Mbit/s of payload; `turn.cpu_per_gbit` the server's CPU seconds for 10^9 bits of it, at 200 Mbit/s over UDP.
The load (`turn_load.c`) runs on the other core. `turn.junk_p99_ratio`: an echo's 99th percentile with 10,000
meaningless datagrams a second beside it, over that without.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks._turn_client import CHANNEL, Relay
from benchmarks.figures import Report
from plait.hub.turn.credentials import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "benchmark"
SIZE = 1200
LOAD = Path(__file__).with_name("turn_load.c")
WITHIN = 10.0
MANY = 100


class Server(NamedTuple):
    """A TURN server that runs."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Return the CPU seconds that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)] if (os.cpu_count() or 1) > 1 else []


@contextlib.contextmanager
def plait(_: Path) -> Iterator[Server]:
    """Run ours, on the second core."""
    command = [sys.executable, "-m", "benchmarks._turn_plait", SECRET, str(10 * MANY)]
    with subprocess.Popen(
        [*_pinned(1), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()), process.pid)
        finally:
            process.stdin.close()


@contextlib.contextmanager
def coturn(folder: Path) -> Iterator[Server]:
    """Run coturn, on the second core."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    lines = [
        *("listening-ip=127.0.0.1", f"listening-port={port}", "relay-ip=127.0.0.1", "no-tls", "no-dtls"),
        *("realm=plait.test", "use-auth-secret", f"static-auth-secret={SECRET}", "allow-loopback-peers"),
        *(
            "no-cli",
            "fingerprint",
            f"userdb={folder}/users.db",
            f"pidfile={folder}/pid",
            "log-file=/dev/null",
        ),
    ]
    config = folder / "turnserver.conf"
    config.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [*_pinned(1), "turnserver", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_it_serves(port)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _until_it_serves(port: int) -> None:
    late = time.monotonic() + WITHIN
    while True:
        try:
            _relay(port, stream=False).close()
        except OSError:
            if time.monotonic() > late:
                raise
            time.sleep(0.1)
        else:
            return


def _relay(port: int, *, stream: bool) -> Relay:
    for left in reversed(range(5)):
        user = Signer(SECRET.encode(), 600).credential(os.urandom(4).hex(), "user:bench", "urn:dev:bench")
        try:
            return Relay(port, *user, stream=stream)
        except OSError:
            # An overloaded server may not have heard that the port's last relay was given back.
            if not left:
                raise
    raise AssertionError


@contextlib.contextmanager
def _relays(server: Server, count: int, *, stream: bool) -> Iterator[list[Relay]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(_relay(server.port, stream=stream))) for _ in range(count)
        ]


class Taken(NamedTuple):
    """What one run gave."""

    mbit: float
    cpu_per_gbit: float


def measure(load: Path, server: Server, *, mbit: float, count: int, stream: bool, seconds: float) -> Taken:
    """Offer a load to a server, and see what arrives."""
    with _relays(server, count, stream=stream) as relays:
        fds = [fd for relay in relays for fd in (relay.client.fileno(), relay.peer.fileno())]
        ends = [
            str(each) for relay in relays for each in (relay.client.fileno(), relay.peer.fileno(), CHANNEL)
        ]
        before = server.cpu()
        command = [str(load), "relay", str(seconds), str(mbit), str(SIZE), str(int(stream)), *ends]
        said = subprocess.run([*_pinned(0), *command], pass_fds=fds, stdout=subprocess.PIPE, check=True)
        cpu = server.cpu() - before
    bits = sum(json.loads(said.stdout)["arrived"]) * 8
    return Taken(bits / seconds / 1e6, cpu / (bits / 1e9) if bits else float("inf"))


def _echo_p99(load: Path, server: Server, seconds: float, junk: int) -> float:
    """Return an echo's 99th percentile through a relay, in µs, beside so many datagrams of junk a second."""
    with contextlib.ExitStack() as stack:
        (relay,) = stack.enter_context(_relays(server, 1, stream=False))
        if junk:
            other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            other.connect(("127.0.0.1", server.port))
            command = [str(load), "junk", str(seconds), str(junk), str(other.fileno())]
            stack.enter_context(
                subprocess.Popen(
                    [*_pinned(0), *command], pass_fds=[other.fileno()], stdout=subprocess.DEVNULL
                )
            )
        packet = CHANNEL.to_bytes(2) + (100).to_bytes(2) + bytes(100)
        trips = []
        late = time.monotonic() + seconds * 0.9
        while time.monotonic() < late:
            start = time.perf_counter()
            relay.client.send(packet)
            relay.peer.send(relay.peer.recv(2048))
            relay.client.recv(2048)
            trips.append(time.perf_counter() - start)
            time.sleep(0.002)
    return statistics.quantiles(trips, n=100)[98] * 1e6


class Case(NamedTuple):
    """One load."""

    name: str
    mbit: float
    count: int
    stream: bool


CASES = [
    Case(f"turn.{name}_mbit_{mbit}{'_100_clients' if count > 1 else ''}", mbit, count, name == "tcp")
    for name in ("udp", "tcp")
    for count in (1, MANY)
    for mbit in (50, 200, 600)
]
CPU = {
    "turn.cpu_per_gbit": "turn.udp_mbit_200",
    "turn.cpu_per_gbit_100_clients": "turn.udp_mbit_200_100_clients",
    "turn.tcp_cpu_per_gbit": "turn.tcp_mbit_200",
    "turn.tcp_cpu_per_gbit_100_clients": "turn.tcp_mbit_200_100_clients",
}


def run(quick: bool) -> Report:
    """Take the figures."""
    report = Report(versions=_coturn_version())
    servers: dict[str, Callable[[Path], Any]] = {"plait": plait}
    if report.versions:
        servers["coturn"] = coturn
    else:
        report.notes.append("coturn is not installed (make setup), so there is no peer")
    rounds, seconds = (1, 0.6) if quick else (5, 3.0)
    taken: dict[str, dict[str, list[Taken]]] = {case.name: {name: [] for name in servers} for case in CASES}
    calm: dict[str, list[float]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory(prefix="plait-turn-") as folder, contextlib.ExitStack() as stack:
        load = _build(Path(folder))
        running = {name: stack.enter_context(make(Path(folder))) for name, make in servers.items()}
        for _ in range(rounds):
            for case in CASES:
                for name, server in running.items():
                    one = measure(
                        load, server, mbit=case.mbit, count=case.count, stream=case.stream, seconds=seconds
                    )
                    taken[case.name][name].append(one)
            for name, server in running.items():
                alone = _echo_p99(load, server, seconds, 0)
                calm[name].append(_echo_p99(load, server, seconds, 10_000) / alone)
    for case in CASES:
        _add(
            report,
            case.name,
            "Mbit/s",
            {name: [t.mbit for t in each] for name, each in taken[case.name].items()},
        )
    for figure, case_name in CPU.items():
        values = {name: [t.cpu_per_gbit for t in each] for name, each in taken[case_name].items()}
        _add(report, figure, "s/Gbit", values)
    _add(report, "turn.junk_p99_ratio", "x", calm)
    return report


def _add(report: Report, name: str, unit: str, values: dict[str, list[float]]) -> None:
    ours = values.pop("plait")
    report.add(name, unit, ours, peers=values)


def _build(folder: Path) -> Path:
    binary = folder / "turn_load"
    subprocess.run(["cc", "-O2", "-o", str(binary), str(LOAD)], check=True)
    return binary


def _coturn_version() -> dict[str, str]:
    if shutil.which("turnserver") is None:
        return {}
    said = subprocess.run(["turnserver", "--version"], capture_output=True, text=True, check=False).stdout
    return {"coturn": said.split()[-1] if said.split() else "unknown"}
