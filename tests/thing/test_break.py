"""What breaks comes back by itself."""

import asyncio
import os
import signal
import sys
import time

import pytest

from plait.testing import HubProcess, connected, running_hub, served
from plait.thing import Thing, action, prop, serve
from plait.thing.state import state_of
from plait.wire.messages import now
from plait.wire.session import Session


class Meter(Thing):
    level: int = prop(-1)
    switch: bool = prop(False)

    def __init__(self) -> None:
        super().__init__("urn:dev:meter")
        self.resets = 0

    @action
    async def reset(self) -> int:
        self.resets += 1
        return self.resets


async def take(changes, name, value):
    async with asyncio.timeout(15):
        async for change in changes:
            if change.name == name and change.value == value:
                return change
    raise AssertionError


async def test_a_hub_that_is_killed_while_readings_come(tmp_path):
    meter = Meter()
    start = now()
    async with HubProcess(tmp_path) as hub, served(meter, hub=hub), connected(hub) as home:
        proxy = home.thing("urn:dev:meter")
        changes = proxy.watch()
        await take(changes, "level", -1)
        times = {}
        for number in range(60):
            if number == 20:
                await hub.kill()
                waiting = asyncio.create_task(proxy.readings(timeout=20))
            if number == 40:
                await hub.start()
            meter.level = number
            times[number] = state_of(meter).reading("level").timestamp
            await asyncio.sleep(0.002)
        back = time.monotonic()
        assert (await waiting)["switch"].value is False
        await take(changes, "level", 59)
        assert time.monotonic() - back < 5
        history = await proxy.history("level", start)
        assert [(value, when) for when, value in history if value >= 0] == list(times.items())
        assert await proxy.invoke("reset", timeout=5) == 1
        assert await proxy.write("switch", True) is True
        await take(changes, "switch", True)
        await changes.aclose()


async def test_a_full_session_drops_readings_and_tells_the_last_one(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(Session.__init__.__kwdefaults__, "limit", 20_000)
    later = HubProcess(tmp_path)  # gives the address and the token; the hub itself comes later
    meter = Meter()
    serving = asyncio.create_task(serve(meter, hub=later.url, token=later.token("urn:dev:meter")))
    for number in range(1000):
        meter.level = number
    async with running_hub(tmp_path, port=later.port) as hub, connected(hub) as home:
        proxy = await home.wait_for("Meter", timeout=20)
        changes = proxy.watch("level")
        await take(changes, "level", 999)
        await changes.aclose()
        assert "readings are dropped" in caplog.text
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


THING = """
from plait.thing import Thing, prop
class Meter(Thing):
    level: int = prop(1)
Meter("urn:dev:meter").run()
"""


async def spawn(tmp_path, text, **environment):
    script = tmp_path / "meter.py"
    script.write_text(text)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )


async def line_with(process, text):
    async with asyncio.timeout(20):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, f"ended before it said {text!r}"
    return line


async def test_a_thing_that_is_killed_is_told_as_offline(tmp_path):
    async with running_hub(tmp_path / "hub") as hub, connected(hub) as home:
        environment = {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token("urn:dev:meter")}
        process = await spawn(tmp_path, THING, **environment)
        proxy = await home.wait_for("Meter", timeout=20)
        changes = proxy.watch()
        await take(changes, "presence", "online")
        process.kill()
        await process.wait()
        began = time.monotonic()
        await take(changes, "presence", "offline")
        assert time.monotonic() - began < 10
        again = await spawn(tmp_path, THING, **environment)
        await take(changes, "presence", "online")
        again.terminate()
        assert await again.wait() == 0
        await take(changes, "presence", "offline")
        await changes.aclose()
        await process.stderr.read()
        await again.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_ends_in_good_order(tmp_path, number):
    async with running_hub(tmp_path / "hub") as hub:
        process = await spawn(tmp_path, THING, PLAIT_HUB=hub.url, PLAIT_TOKEN=hub.token("urn:dev:meter"))
        assert "Meter is online (urn:dev:meter)" in await line_with(process, "online")
        process.send_signal(number)
        _, rest = await process.communicate()
        assert process.returncode == 0
        assert rest == b""


async def test_run_says_in_one_line_that_the_token_is_wrong(tmp_path):
    async with running_hub(tmp_path / "hub") as hub:
        process = await spawn(tmp_path, THING, PLAIT_HUB=hub.url, PLAIT_TOKEN="nonsense")
        _, said = await process.communicate()
    assert process.returncode == 1
    lines = said.decode().splitlines()
    assert lines == ["Meter: the hub does not take this token; `plait hub token ID` makes one for a thing"]


async def test_run_says_in_one_line_that_the_token_is_of_another_thing(tmp_path):
    async with running_hub(tmp_path / "hub") as hub:
        process = await spawn(tmp_path, THING, PLAIT_HUB=hub.url, PLAIT_TOKEN=hub.token("urn:dev:other"))
        _, said = await process.communicate()
    assert process.returncode == 1
    (line,) = said.decode().splitlines()
    assert line.startswith("Meter: the hub does not take this thing: ")
    assert "urn:dev:other" in line


async def test_run_says_once_that_the_hub_is_away_and_dials_on(tmp_path):
    hub = HubProcess(tmp_path / "hub")
    process = await spawn(tmp_path, THING, PLAIT_HUB=hub.url, PLAIT_TOKEN=hub.token("urn:dev:meter"))
    said = await line_with(process, "")
    assert said.startswith("Meter has no hub, dialling on (ws://")
    assert hub.url.removeprefix("http://") in said
    async with hub:
        assert await line_with(process, "") == "Meter is online (urn:dev:meter)\n"
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (THING.replace(".run()", ".run(hub='nowhere')"), 2, "Not a hub's address: 'nowhere'"),
        (
            THING.replace("    level", "    async def main(self): 1 / 0\n    level"),
            1,
            "ZeroDivisionError: division by zero\nMeter.main() ended with this; the thing is not served",
        ),
        (
            THING.replace("    level", "    async def main(self): raise ValueError('sensor')\n    level"),
            1,
            "ValueError: sensor\nMeter.main() ended with this",
        ),
    ],
)
async def test_run_says_what_ended_it(tmp_path, text, code, said):
    async with running_hub(tmp_path / "hub") as hub:
        process = await spawn(tmp_path, text, PLAIT_HUB=hub.url, PLAIT_TOKEN=hub.token("urn:dev:meter"))
        _, output = await process.communicate()
    assert process.returncode == code
    assert said in output.decode()
