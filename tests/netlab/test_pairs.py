"""Two paired things whose hub dies and whose addresses both change at once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from .lab import PUBLIC, Lab
from .pair import BUTTON, LAMP, PORT
from .test_matrix import pytestmark as conditions

pytestmark = [*conditions, pytest.mark.long, pytest.mark.timeout(120)]

PROGRAM = str(Path(__file__).with_name("pair.py"))


def move(place, host):
    """Have another address of the segment, and none of before."""
    place.run("ip", "addr", "flush", "dev", "eth0")
    place.run("ip", "addr", "add", f"{PUBLIC}.{host}/24", "dev", "eth0")


async def said(process):
    """The next of what it says that is no line of a log."""
    async with asyncio.timeout(90):
        while not (line := await process.stdout.readline()).startswith(b"{"):
            assert line, "it has ended"
    return json.loads(line)


async def press(button):
    button.stdin.write(b"\n")
    return await said(button)


async def test_they_find_each_other_though_both_moved_and_the_hub_is_dead(tmp_path):
    source = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    with Lab() as lab:
        places = {name: lab.place(name) for name in ("hub", "lamp", "button")}
        url = f"http://{places['hub'].address}:{PORT}"

        async def start(name, **more):
            command = (sys.executable, PROGRAM, name, str(tmp_path / name))
            return await places[name].start(*command, env=os.environ | source | more, **pipes)

        hub = await start("hub")
        tokens = (await said(hub))["tokens"]
        lamp = await start("lamp", PLAIT_HUB=url, PLAIT_TOKEN=tokens[LAMP])
        button = await start("button", PLAIT_HUB=url, PLAIT_TOKEN=tokens[BUTTON])
        assert await said(hub) == {"paired": True}
        async with asyncio.timeout(60):
            while (await press(button))["path"] != "direct":
                pass
        hub.kill()
        await hub.wait()
        on = (await press(button))["on"]
        began = time.monotonic()
        move(places["lamp"], 111)
        move(places["button"], 112)
        assert await press(button) == {"on": not on, "path": "direct"}
        took = time.monotonic() - began
        for process in (lamp, button):
            process.kill()
            await process.wait()
        assert took < 20, "sooner than ICE gives up what is silent"
