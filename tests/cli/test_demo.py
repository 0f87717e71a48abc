"""`plait demo` as a newcomer starts it: everything comes up, what dies comes back, nothing is left."""

import asyncio
import json
import signal
import socket
import sys
from contextlib import asynccontextmanager, suppress

import psutil
import pytest

from plait import app
from plait.cli.demo import DemoError, free_port
from plait.gallery.household import CAMERA, LAMP, THERMOMETER


@asynccontextmanager
async def demo(*arguments):
    """Start it; gives the process and what it says when it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "plait", "demo", "--json", "--port", "0", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield process, json.loads(line)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


def children(process):
    return psutil.Process(process.pid).children(recursive=True)


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(processes, within=10.0):
    async with asyncio.timeout(within):
        while any(map(runs, processes)):  # noqa: ASYNC110 - a grandchild has no event
            await asyncio.sleep(0.05)


async def test_everything_is_online_and_ends_with_it(tmp_path):
    async with demo("--data", str(tmp_path)) as (process, ready):
        assert ready["login"].startswith(ready["url"] + "/#login=")
        async with app.connect(ready["url"], token=ready["token"]) as home:
            things = {thing.id: thing for thing in await home.things()}
            assert {
                each: things[each].state.presence.state for each in (CAMERA, LAMP, THERMOMETER)
            } == dict.fromkeys((CAMERA, LAMP, THERMOMETER), "online")
            lamp = things[LAMP]
            assert await lamp.write("on", True) is True
            assert await lamp.read("on") is True
            await lamp.invoke("blink", times=1)
            readings = []
            async for change in things[THERMOMETER].watch("temperature"):
                readings.append(change.value)
                if len(readings) == 3:
                    break
            assert all(15 < value < 28 for value in readings)
            assert await things[CAMERA].read("resolution") == "768x576"
        started = children(process)
        assert len(started) == 3
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 15)
        assert process.returncode == 0
        await gone(started)
    assert {each.name for each in tmp_path.iterdir()} >= {"hub", "things", "camera.log"}
    assert (tmp_path / "hub").stat().st_mode & 0o077 == 0, "the owner's alone"


async def test_a_killed_demo_leaves_no_children():
    async with demo() as (process, _):
        started = children(process)
        process.kill()
        await process.wait()
        await gone(started)


async def test_a_device_and_a_hub_that_die_are_started_again():
    async with demo() as (process, ready):
        by_name = {" ".join(each.cmdline()): each for each in children(process)}
        async with app.connect(ready["url"], token=ready["token"]) as home:
            next(each for name, each in by_name.items() if "plait.gallery.household" in name).kill()
            said = (await asyncio.wait_for(process.stderr.readline(), 10)).decode()
            assert said.startswith("lamp and thermometer was ended by signal 9")
            await home.until(lambda: home.thing(LAMP).state.presence.state == "offline")
            await asyncio.wait_for(home.thing(LAMP).online(), 15)
            next(each for name, each in by_name.items() if "demo_hub" in name).kill()
            said = (await asyncio.wait_for(process.stderr.readline(), 10)).decode()
            assert said.startswith("hub was ended by signal 9")
            async with asyncio.timeout(20):
                while True:
                    with suppress(Exception):
                        await home.thing(LAMP).write("on", True, timeout=2)
                        break
                    await asyncio.sleep(0.1)


def test_the_next_free_port_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port
    assert free_port(0) == 0


def test_no_port_at_all_is_said():
    with pytest.raises(DemoError, match="no free port"):
        free_port(70_000)
