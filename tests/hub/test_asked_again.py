"""An action whose device, or hub, is killed meanwhile: asked again, done once, or said to be unknown."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import httpx
import pytest

from plait.testing import HubProcess, connected
from plait.wire.errors import OutcomeUnknown

from .conftest import within

DOOR = "urn:dev:door"
DEVICE = """
import asyncio, os, sys
from plait.thing import Thing, action

class Door(Thing):
    @action
    async def unlock(self, then: str) -> int:
        done = os.open(sys.argv[3], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(done, b"unlocked\\n")
        if then == "die":
            os.kill(os.getpid(), 9)
        if then == "wait":
            await asyncio.sleep(1.5)
        return os.stat(sys.argv[3]).st_size // 9

Door("urn:dev:door").run(hub=sys.argv[1], token=sys.argv[2], folder=sys.argv[4] or None)
"""


class Doors:
    """Starts the device as often as a test needs it."""

    def __init__(self, hub, tmp_path):
        self.hub, self.token, self.done = hub, hub.token(DOOR), tmp_path / "done"
        self.folder = str(tmp_path / "door")
        self.process = None

    async def start(self, *, folder=True):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            DEVICE,
            self.hub.url,
            self.token,
            str(self.done),
            self.folder if folder else "",
        )

    async def ended(self):
        async with asyncio.timeout(15):
            await self.process.wait()

    async def kill(self):
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)
            await self.ended()

    @property
    def unlocked(self):
        return self.done.stat().st_size // 9 if self.done.exists() else 0


@pytest.fixture
async def hub(tmp_path):
    async with HubProcess(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
async def doors(hub, tmp_path):
    doors = Doors(hub, tmp_path)
    yield doors
    await doors.kill()


@pytest.fixture
async def door(hub, doors):
    """The door as an app sees it."""
    await doors.start()
    async with connected(hub) as home:
        door = await home.wait_for(DOOR, timeout=15)
        await door.online(timeout=15)
        yield door


async def test_a_device_killed_before_it_began_does_it_after_its_restart_once(doors, door):
    doors.process.send_signal(signal.SIGSTOP)
    asking = asyncio.create_task(door.invoke("unlock", then="", timeout=30))
    await asyncio.sleep(0.5)  # the question is in its socket, unread
    await doors.kill()
    await doors.start()
    assert await asking == 1
    assert doors.unlocked == 1


async def test_a_device_killed_amid_it_cannot_tell_and_does_nothing_twice(doors, door):
    asking = asyncio.create_task(door.invoke("unlock", then="die", timeout=30))
    await doors.ended()
    await doors.start()
    with pytest.raises(OutcomeUnknown, match="cannot tell how far"):
        await asking
    assert doors.unlocked == 1
    assert await door.invoke("unlock", then="") == 2


async def test_one_that_keeps_no_journal_is_unknown_once_it_is_back(hub, doors):
    await doors.start(folder=False)
    async with connected(hub) as home:
        door = await home.wait_for(DOOR, timeout=15)
        await door.online(timeout=15)
        asking = asyncio.create_task(door.invoke("unlock", then="die", timeout=30))
        await doors.ended()
        await doors.start(folder=False)
        with pytest.raises(OutcomeUnknown, match="session ended"):
            await asking
    assert doors.unlocked == 1


async def test_a_hub_killed_meanwhile_asks_again_and_tells_whoever_asks_again(hub, doors, door):
    headers = {"authorization": f"Bearer {hub.user_token()}", "idempotency-key": "once"}
    unlock = f"/things/{DOOR}/actions/unlock"
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=20) as http:
        asking = asyncio.create_task(http.post(unlock, json={"then": "wait"}))
        await within(lambda: doors.unlocked, 15)
        await hub.kill()
        with pytest.raises(httpx.TransportError):
            await asking
        await hub.start()
        answer = await http.post(unlock, json={"then": "wait"})
        assert (answer.status_code, answer.json()) == (200, 1)
        assert doors.unlocked == 1
