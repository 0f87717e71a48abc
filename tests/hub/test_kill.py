"""The hub killed with SIGKILL while readings arrive: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import sys

import msgspec
import pytest

from plait.hub.contracts import Principal
from plait.hub.store.credentials import open_credentials

from .conftest import LAMP, App, Device, within

KILLS = 3


class Process:
    """A hub in a process of its own."""

    def __init__(self, data):
        self.data = data
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from plait.cli.hub import app; app()"),
            *("--port", str(self.port), "--data", str(self.data)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(20):
            while not (await self.process.stdout.readline()).startswith(b"Log in"):
                assert self.process.returncode is None
        self._reader = asyncio.create_task(self.process.stdout.read())

    async def end(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        await self.process.wait()
        return await self._reader


@pytest.fixture
async def process(tmp_path):
    process = Process(tmp_path / "data")
    await process.start()
    yield process
    if process.process.returncode is None:
        await process.end()


def stored(data):
    """What a fresh look into the file finds, hub or no hub."""
    connection = sqlite3.connect(data / "plait.db")
    rows = connection.execute("SELECT value FROM readings ORDER BY time").fetchall()
    connection.close()
    return [msgspec.json.decode(value) for (value,) in rows]


async def test_killed_while_readings_arrive(process):
    with open_credentials(process.data) as credentials:
        token = credentials.make_token(Principal("thing", LAMP))
        owner = credentials.make_token(Principal("user", "owner"))
    device = Device(process.url, token=token)
    app = App(process.url, token=owner)
    await device.start()
    await app.client.start(5)
    count = 0

    async def report():
        nonlocal count
        while True:
            for _ in range(5):
                # Without a timestamp: the hub stamps each, so that one sent twice would be two rows.
                device.report("temperature", count)
                count += 1
            await asyncio.sleep(0.005)

    reporting = asyncio.create_task(report())
    for kill in range(KILLS):
        await within(lambda: device.client.session.acked > 100, 10)
        before = device.client.session.acked - 1  # but the description; numbers begin anew with each session
        first = stored(process.data)[-1] + 1 if kill else 0
        await process.end()
        kept = stored(process.data)
        assert kept == list(range(len(kept)))
        if not kill:
            assert len(kept) >= before
        assert len(kept) >= first
        app_states, device_states = len(app.states), len(device.states)
        killed = asyncio.get_running_loop().time()
        await process.start()
        began = asyncio.get_running_loop().time()
        await within(lambda n=device_states: "connected" in device.states[n:], 5)
        await within(lambda n=app_states: "connected" in app.states[n:], 5)
        assert asyncio.get_running_loop().time() - began < 5, f"the hub itself took {began - killed:.1f} s"
    reporting.cancel()
    await device.kept()
    assert stored(process.data) == list(range(count))
    await device.client.close()
    await app.client.close()


async def test_it_ends_in_order_when_told_to(process):
    with open_credentials(process.data) as credentials:
        device = Device(process.url, token=credentials.make_token(Principal("thing", LAMP)))
    await device.start()
    device.report("level", 3)
    await device.kept()
    said = await process.end(signal.SIGTERM)
    assert process.process.returncode == 0
    assert b"hub stopped" in said
    assert b"plait_" not in said  # no token, whole or in part, is in the log
    await device.client.close(flush=0)
    assert stored(process.data) == [3]
