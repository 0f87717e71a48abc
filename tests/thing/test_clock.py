"""A device whose clock is wrong dates its readings by the hub's."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from plait.testing import HubProcess, connected, running_hub
from plait.thing.clock import Clock
from plait.wire.messages import now

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HUB = datetime(2026, 5, 1, tzinfo=UTC)


class Machine:
    """A clock on the wall and one that nobody sets."""

    def __init__(self, wall):
        self.wall, self.steady = wall, 100.0

    def go(self, seconds):
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds

    def clock(self):
        return Clock(wall=lambda: self.wall, steady=lambda: self.steady)


def test_a_clock_that_is_right_is_believed():
    machine = Machine(HUB)
    clock = machine.clock()
    machine.go(10)
    assert clock.now() == HUB + timedelta(seconds=10)
    assert clock.learn(HUB + timedelta(seconds=11.5)) == timedelta()
    assert clock.now() == HUB + timedelta(seconds=10)
    assert clock.hub() == HUB + timedelta(seconds=11.5)


def test_readings_from_1970_are_moved():
    machine = Machine(EPOCH)
    clock = machine.clock()
    taken = clock.now()
    machine.go(60)
    assert taken + clock.learn(HUB) == HUB - timedelta(seconds=60)
    machine.go(5)
    assert clock.now() == HUB + timedelta(seconds=5)
    assert clock.learn(HUB + timedelta(seconds=5)) == timedelta()


def test_a_clock_that_is_set_meanwhile_moves_no_reading_apart():
    machine = Machine(EPOCH)
    clock = machine.clock()
    first = clock.now()
    machine.go(60)
    machine.wall = HUB  # as NTP does
    second = clock.now()
    assert second - first == timedelta(seconds=60)
    assert second + clock.learn(HUB) == HUB
    machine.go(1)
    assert clock.now() == HUB + timedelta(seconds=1)


METER = """
import asyncio, sys
from plait.thing import Thing, action, event, prop

class Meter(Thing):
    level: int = prop(readonly=True)

    @action
    async def unlock(self) -> str:
        return "open"

    async def main(self):
        print("started", flush=True)
        for number in range(3):
            self.level = number
            await self.saved()
            await asyncio.sleep(0.2)
        print("told", flush=True)

Meter("urn:dev:meter").run(folder=sys.argv[1] if len(sys.argv) > 1 else None)
"""


LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
AT_1970 = {
    "LD_PRELOAD": str(LIBRARY),
    "FAKETIME": "@1970-01-01 00:05:00",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "TZ": "UTC",
}


async def started(tmp_path, environment, *arguments):
    script = tmp_path / "meter.py"
    script.write_text(METER)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), *arguments),
        env={**os.environ, **environment, **AT_1970},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def from_1970(tmp_path, *arguments):
    """Run a meter at 1970, first without its hub; return what the hub's history tells, and when it was."""
    hub = HubProcess(tmp_path / "hub")
    process = await started(
        tmp_path, {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token("urn:dev:meter")}, *arguments
    )
    assert await process.stdout.readline() == b"started\n"
    begin = now()
    assert await process.stdout.readline() == b"told\n"
    end = now()
    async with running_hub(tmp_path / "hub", port=hub.port) as real, connected(real) as home:
        proxy = await home.wait_for("Meter", timeout=20)
        assert await proxy.invoke("unlock", timeout=10) == "open"  # its deadline is of this year
        changes = proxy.watch("level")
        async with asyncio.timeout(10):
            async for change in changes:
                if change.value == 2:
                    break
        history = await proxy.history("level", EPOCH)
        await changes.aclose()
        process.terminate()
        await process.communicate()
    return begin, end, history


async def test_a_device_at_1970_connects_and_its_readings_are_dated_by_the_hub(tmp_path):
    begin, end, history = await from_1970(tmp_path)
    assert [value for _, value in history] == [0, 1, 2]
    slack = timedelta(seconds=1)
    assert all(begin - slack < when < end + slack for when, _ in history)
    assert 0.15 < (history[1][0] - history[0][0]).total_seconds() < 1.5


async def test_so_are_those_that_were_spooled(tmp_path):
    begin, end, history = await from_1970(tmp_path, str(tmp_path / "state"))
    assert [value for _, value in history] == [0, 1, 2]
    slack = timedelta(seconds=1)
    assert all(begin - slack < when < end + slack for when, _ in history)
