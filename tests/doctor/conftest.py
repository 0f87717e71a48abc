"""A hub, and what is examined, in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.netlab.lab import Lab

from plait.hub.contracts import Principal
from plait.hub.store.credentials import open_credentials

ROOT = Path(__file__).parents[2]
WITHIN = 40
STUN = ("198.51.100.200", "198.51.100.201")
"""The STUN server's address, and its other one (RFC 5780)."""


class Report:
    """What the doctor told."""

    def __init__(self, code, told):
        self.code = code
        self.verdict = told["verdict"]
        self.findings = told["findings"]

    def of(self, name):
        """All findings whose name begins so."""
        return [each for each in self.findings if each["name"].startswith(name)]

    def one(self, name):
        (found,) = self.of(name)
        return found


async def told(*arguments, enter=(), before=(), **environment):
    """Run `plait doctor --json`, with `before` in front of it, in the namespace that `enter` enters.

    Returns:
        Its exit code, and what it told.
    """
    process = await asyncio.create_subprocess_exec(
        *enter, *before, sys.executable, "-m", "plait", "doctor", "--json", *arguments,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert out, said.decode()
    return process.returncode, json.loads(out)


async def doctor(*arguments, **options):
    """Run `plait doctor` without a thing."""
    return Report(*await told(*arguments, **options))


@dataclass
class Running:
    """A hub in a process of its own."""

    url: str
    folder: Path
    code: str

    @property
    def login(self):
        """A link that logs a browser in, once."""
        return f"{self.url}/#{self.code}"

    def token(self, kind="user", name="owner"):
        with open_credentials(self.folder) as credentials:
            return credentials.make_token(Principal(kind, name))


@asynccontextmanager
async def hub_process(folder, *, enter=(), host="127.0.0.1", port=0, **environment):
    """Run a hub until it is ready."""
    process = await asyncio.create_subprocess_exec(
        *enter, sys.executable, "-m", "plait", "hub", "--data", str(folder),
        "--host", host, "--port", str(port),
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN):
            while not (line := await process.stdout.readline()).startswith(b"Log in"):
                assert line, "the hub ended"
        address, _, code = line.split()[-1].decode().partition("/#")
        yield Running(address, folder, code)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def examined():
    return doctor


@pytest.fixture
def explained():
    return told


@pytest.fixture
def hubs():
    return hub_process


@pytest.fixture
async def public(tmp_path, hubs):
    """A lab with a hub on port 443 of a public address, and coturn on port 443 of two others."""
    with Lab() as lab:
        place = lab.place("public")
        for ip in STUN:
            place.run("ip", "addr", "add", f"{ip}/24", "dev", "eth0")
        config = tmp_path / "turnserver.conf"
        config.write_text(
            f"listening-ip={STUN[0]}\nlistening-ip={STUN[1]}\nrelay-ip={STUN[0]}\n"
            "listening-port=443\nalt-listening-port=3479\nno-tls\nno-dtls\nlt-cred-mech\nuser=plait:secret\n"
            "realm=plait.test\nno-cli\nlog-file=stdout\n"
            f"userdb={tmp_path}/users.db\npidfile={tmp_path}/turnserver.pid\n",
            encoding="utf-8",
        )
        quiet = asyncio.subprocess.DEVNULL
        turn = await place.start("turnserver", "-c", str(config), stdout=quiet, stderr=quiet)
        known = {"username": "plait", "credential": "secret"}
        servers = [
            {"urls": [f"stun:{STUN[0]}:443", f"stun:{STUN[0]}:3479"]},
            {"urls": [f"turn:{STUN[0]}:443", f"turn:{STUN[0]}:443?transport=tcp"]} | known,
        ]
        settings = {"TLS": "off", "TURN": "false", "ICE_SERVERS": json.dumps(servers)}
        where = {"enter": place.enter(), "host": place.address, "port": 443}
        environment = {f"PLAIT_{name}": value for name, value in settings.items()}
        try:
            async with asyncio.timeout(10):
                while f"{STUN[0]}:443" not in place.run("ss", "-Hlnt"):  # noqa: ASYNC110 - it tells nothing
                    await asyncio.sleep(0.02)
            async with hubs(tmp_path / "hub", **where, **environment) as hub:
                hub.url = f"http://{place.address}:443"
                yield lab, hub
        finally:
            with suppress(ProcessLookupError):
                turn.kill()
            await turn.wait()
