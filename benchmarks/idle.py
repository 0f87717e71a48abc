"""What an idle device costs the hub in memory, with 2,000 connected, over ws and over wss.

Hot path: none; connections that only answer pings. Each is a device's whole session: connected, greeted, with
its description read and kept. The figure is the growth of the hub process's proportional set size (PSS) after
its first 100 devices, for each of the 2,000 that follow. Devices run in another process. Kernel memory is not
in it: behind TLS, a connection takes two sockets more.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import trustme

from benchmarks.figures import Report, versions
from plait.hub.contracts import Principal
from plait.hub.store.credentials import open_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICES = 2000
FIRST = 100
TOKENS = "tokens-of-devices"


@contextlib.contextmanager
def _process(*arguments: str, log: IO[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a process of ours; with a log, both its outputs go there."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=log or subprocess.PIPE,
        stderr=log and subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(log: Path, start: str) -> str:
    """Wait for a line and return its last word."""
    for _ in range(400):
        for line in log.read_text().splitlines():
            if line.startswith(start):
                return line.split()[-1]
        time.sleep(0.05)
    raise RuntimeError(f"the hub did not start: {log.read_text()}")


def _pss(pid: int) -> float:
    """Return a process's proportional set size, in KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise RuntimeError("the kernel tells no proportional set size")


def _prepare(data: Path) -> None:
    """Make each device's credential, and a file of them."""
    with open_credentials(data) as credentials:
        names = [f"urn:dev:bench:{number}" for number in range(DEVICES + FIRST)]
        lines = [f"{name} {credentials.make_token(Principal('thing', name))}" for name in names]
    (data / TOKENS).write_text("\n".join(lines))


def _certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Make a chain, its key, and the authority's own certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain, key, trust = folder / "chain.pem", folder / "key.pem", folder / "ca.pem"
    chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(trust)
    return chain, key, trust


def _connect(devices: subprocess.Popen[str], count: int) -> int:
    assert devices.stdin is not None
    assert devices.stdout is not None
    devices.stdin.write(f"{count}\n")
    devices.stdin.flush()
    return int(devices.stdout.readline())


def _round(prepared: Path, *, tls: bool) -> float:
    """Return one round's KiB for each connection, by a hub of its own."""
    serve = "from plait.cli.hub import app; app()"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="plait-bench-")))
        data = folder / "hub"
        shutil.copytree(prepared, data)
        options, trust = ["--port", "0", "--data", str(data)], ""
        if tls:
            chain, key, authority = _certificate(folder)
            options += ["--tls-cert", str(chain), "--tls-key", str(key)]
            trust = str(authority)
        log = folder / "log"
        hub = stack.enter_context(_process("-c", serve, *options, log=stack.enter_context(log.open("w"))))
        url = _said(log, "Plait hub on ")
        devices = stack.enter_context(_process("-m", "benchmarks._devices", url, trust, str(data / TOKENS)))
        _connect(devices, FIRST)
        time.sleep(1)
        before = _pss(hub.pid)
        connected = _connect(devices, DEVICES)
        time.sleep(1)
        after = _pss(hub.pid)
        if connected != FIRST + DEVICES:
            raise RuntimeError(f"only {connected} devices stayed connected")
    return (after - before) / DEVICES


def run(quick: bool) -> Report:
    """Take the figures."""
    report = Report(versions=versions("picows", "uvicorn"))
    rounds = 1 if quick else 3
    with tempfile.TemporaryDirectory(prefix="plait-bench-") as folder:
        prepared = Path(folder) / "hub"
        _prepare(prepared)
        for name, tls in (("idle.kib_per_connection", False), ("idle.kib_per_connection_tls", True)):
            report.add(name, "KiB", [_round(prepared, tls=tls) for _ in range(rounds)])
    return report
