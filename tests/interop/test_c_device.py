"""The device in C (`examples/c/lamp.c`), written from docs/protocol.md alone, against a real hub and app."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from plait.testing import Cable, HubProcess, connected
from plait.wire import messages
from plait.wire.errors import InvalidValue, PlaitError

SOURCE = Path(__file__).parents[2] / "examples" / "c"
LAMP = "urn:dev:clamp"


MOST_OWN_MEMORY = 1 << 20
"""Bytes of heap, stack and other memory of no file, at most."""


def compiled(folder, *flags):
    """Compile it as its own Makefile does; return the program."""
    for name in ("lamp.c", "Makefile"):
        (folder / name).write_text((SOURCE / name).read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run(["make", "-s", "-C", str(folder), f"CFLAGS={' '.join(flags)}"], check=True)
    return folder / "lamp"


@pytest.fixture(scope="session")
def checked(tmp_path_factory):
    """It, ending with an error at its first misuse of memory, or with what it has not freed."""
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return compiled(tmp_path_factory.mktemp("checked"), *flags)


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """It, as a user compiles it."""
    return compiled(tmp_path_factory.mktemp("plain"), "-O2")


@asynccontextmanager
async def running(program, hub, port, token=None):
    """Run the device; the block gets its process. It must end in order when told to."""
    environment = dict(os.environ, PLAIT_HUB=f"http://127.0.0.1:{port}", PLAIT_TOKEN=token or hub.token(LAMP))
    process = await asyncio.create_subprocess_exec(
        program, LAMP, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    out, errors = await process.communicate()
    process.said, process.errors = out.decode(), errors.decode()
    assert process.returncode == 0, process.errors


def own_memory(pid, program):
    """Return how much memory of its own a process has, in bytes.

    That is what it alone has written to (Private_Dirty), of its heap, its stack, all that belongs to no file,
    and its own file's variables: all but what the dynamic linker wrote into the libraries as it loaded them.
    """
    total, name = 0, ""
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            name = words[5] if len(words) > 5 else ""
        elif words[0] == "Private_Dirty:" and (not name.startswith("/") or name == str(program)):
            total += int(words[1]) << 10
    return total


async def counted(lamp, began, least):
    """Return the lamp's whole history of `count`, once it has got so far."""
    async with asyncio.timeout(15):
        while True:
            values = [value for _, value in await lamp.history("count", began, limit=20_000)]
            if values and values[-1] >= least:
                return values
            await asyncio.sleep(0.1)


async def test_it_reports_and_obeys(checked, tmp_path):
    async with HubProcess(tmp_path) as hub, running(checked, hub, hub.port) as device, connected(hub) as home:
        lamp = await home.wait_for(LAMP, timeout=10)
        await lamp.online(timeout=10)
        assert lamp.title == "Lamp in C"
        assert await lamp.read("brightness") == 100
        assert await lamp.write("brightness", 40) == 40
        assert await lamp.write("on", True) is True
        assert await lamp.read("on") is True
        assert [await lamp.invoke("blink") for _ in range(3)] == [1, 2, 3]
        with pytest.raises(InvalidValue):
            await lamp.write("brightness", 101)
        async with asyncio.timeout(10):
            async for change in lamp.watch("count"):
                if change.value is not None and change.value >= 5:
                    break
        state = await lamp.readings()
        assert [state[name].value for name in ("on", "brightness", "blinks")] == [True, 40, 3]
    assert device.said.count("blink") == 3
    assert device.errors == ""


async def test_nothing_is_lost_or_done_twice(checked, tmp_path):
    """The WebSocket is cut four times and the hub killed once, while it reports and is told to blink."""
    began, answers, unknown = messages.now(), [], 0
    async with (
        HubProcess(tmp_path) as hub,
        Cable(hub.port) as cable,
        running(checked, hub, cable.port) as device,
        connected(hub) as home,
    ):
        lamp = await home.wait_for(LAMP, timeout=10)
        await lamp.online(timeout=10)

        another = asyncio.Event()

        async def command():
            nonlocal unknown
            while True:
                try:
                    answers.append(await lamp.invoke("blink", timeout=5))
                    another.set()
                except PlaitError:  # away, or cut off before it answered
                    unknown += 1
                    await asyncio.sleep(0.05)

        commanding = asyncio.create_task(command())
        for step in ("cut", "cut", "kill", "cut", "cut"):
            seen = len(answers)
            async with asyncio.timeout(15):
                while len(answers) < seen + 10:
                    another.clear()
                    await another.wait()
            if step == "cut":
                assert cable.cut() == 1
            else:
                await hub.kill()
                await hub.start()
        commanding.cancel()
        await asyncio.gather(commanding, return_exceptions=True)
        await lamp.online(timeout=10)
        reported = await counted(lamp, began, 20)
    done = [line.split()[1] for line in device.said.splitlines()]
    assert len(done) == len(set(done))
    assert len(answers) == len(set(answers))
    assert len(answers) <= len(done) <= len(answers) + unknown
    assert reported == list(range(1, len(reported) + 1))


async def test_it_needs_little_memory(plain, tmp_path):
    async with (
        HubProcess(tmp_path) as hub,
        Cable(hub.port) as cable,
        running(plain, hub, cable.port) as device,
        connected(hub) as home,
    ):
        lamp = await home.wait_for(LAMP, timeout=10)
        await lamp.online(timeout=10)
        for _ in range(100):
            await lamp.invoke("blink")
        cable.cut()
        await counted(lamp, messages.now(), 20)
        own = own_memory(device.pid, plain)
        print(f"{own >> 10} KiB")  # noqa: T201 - the figure of docs/other-languages.md
        assert own <= MOST_OWN_MEMORY


async def test_one_that_is_not_welcome_stops(checked, tmp_path):
    async with HubProcess(tmp_path) as hub, running(checked, hub, hub.port, token="plait_none") as device:
        async with asyncio.timeout(10):
            await device.wait()
    assert "refused with 401" in device.errors
