"""A hub, and what is examined, in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plait.hub.contracts import Principal
from plait.hub.store.credentials import open_credentials

ROOT = Path(__file__).parents[2]
WITHIN = 40


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


async def doctor(*arguments, enter=(), before=(), **environment):
    """Run `plait doctor --json`, with `before` in front of it, in the namespace that `enter` enters."""
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
    return Report(process.returncode, json.loads(out))


@asynccontextmanager
async def hub_process(folder, *, enter=(), host="127.0.0.1", port=0, **environment):
    """Run a hub; give its address and a user's token."""
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
        address = line.split()[-1].split(b"/#")[0].decode()
        with open_credentials(folder) as credentials:
            token = credentials.make_token(Principal("user", "owner"))
        yield address, token
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def examined():
    return doctor


@pytest.fixture
def hubs():
    return hub_process
