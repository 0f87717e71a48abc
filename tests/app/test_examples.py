"""Every example runs, and so does what the README shows."""

import asyncio
import json
import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plait.testing import connected, running_hub

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

THINGS = {
    "lamp.py": ["urn:dev:lamp"],
    "thermometer.py": ["urn:dev:thermometer"],
    "blocking_sensor.py": ["urn:dev:scale"],
    "greenhouse.py": ["urn:dev:bed:1", "urn:dev:bed:2"],
    "intercom.py": ["urn:dev:intercom"],
}
APPS = {"switch.py", "watch.py", "call.py"}


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path / "hub") as hub:
        yield hub


@asynccontextmanager
async def running(path, hub, ids):
    """Run a thing's file; its things are online within the block, and it ends in good order."""
    tokens = {thing_id: hub.token(thing_id) for thing_id in ids}
    environment = {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": tokens[ids[0]], "PLAIT_TOKENS": json.dumps(tokens)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), env=os.environ | environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with connected(hub) as home:
            for thing_id in ids:
                thing = await home.wait_for(thing_id, timeout=20)
                await thing.online(timeout=10)
            yield home
    finally:
        process.terminate()
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


async def run_app(path, hub, *arguments, until=None):
    """Run an app's file; return what it printed, up to a line with `until`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(path), *arguments),
        env=os.environ | {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.user_token()},
        stdout=asyncio.subprocess.PIPE,
    )
    printed = ""
    async with asyncio.timeout(20):
        while line := (await process.stdout.readline()).decode():
            printed += line
            if until is not None and until in line:
                process.kill()
                break
        await process.communicate()
    assert until is not None or process.returncode == 0
    return printed


def test_every_example_is_here_and_short():
    files = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert THINGS.keys() | APPS <= files.keys()
    for name, text in files.items():
        assert len(text.splitlines()) <= 50, name


async def test_lamp_and_switch(hub):
    async with running(EXAMPLES / "lamp.py", hub, THINGS["lamp.py"]):
        printed = await run_app(EXAMPLES / "switch.py", hub)
    assert printed.splitlines()[:2] == ["on: True", "brightness: 30"]
    assert printed.splitlines()[2].startswith("refused: ")


async def test_thermometer_and_watch(hub):
    async with running(EXAMPLES / "thermometer.py", hub, THINGS["thermometer.py"]) as home:
        await home.thing("Thermometer").write("limit", -50)
        printed = await run_app(EXAMPLES / "watch.py", hub, "Thermometer", until="property temperature = ")
    assert "presence presence = online" in printed


async def test_blocking_sensor(hub):
    async with running(EXAMPLES / "blocking_sensor.py", hub, THINGS["blocking_sensor.py"]) as home:
        assert await home.thing("Scale").invoke("tare") == 250
        async with asyncio.timeout(10):
            async for change in home.thing("Scale").watch("grams"):
                if change.value == 0:
                    break


async def test_greenhouse(hub):
    async with running(EXAMPLES / "greenhouse.py", hub, THINGS["greenhouse.py"]) as home:
        assert await home.thing("Bed 1").invoke("water", litres=2) == 60
        assert await home.thing("Bed 2").write("plan", {"litres": 3}) == {"litres": 3, "hour": 6}


async def test_intercom_and_call(hub):
    async with running(EXAMPLES / "intercom.py", hub, THINGS["intercom.py"]):
        assert re.fullmatch(r"hello after [\d.]+ ms\n", await run_app(EXAMPLES / "call.py", hub, "Intercom"))


async def test_the_readme_works_when_pasted(hub, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    thing, app = blocks[:2]
    assert len([line for line in thing.splitlines() if line]) <= 20
    assert len([line for line in app.splitlines() if line]) <= 10
    (tmp_path / "thing.py").write_text(thing)
    (tmp_path / "app.py").write_text(app.replace('"http://127.0.0.1:8080"', repr(hub.url)))
    async with running(tmp_path / "thing.py", hub, ["urn:dev:lamp"]) as home:
        assert await run_app(tmp_path / "app.py", hub) == ""
        assert await home.thing("urn:dev:lamp").read("on") is True
