"""`plait pair` and `plait unpair`, and the example that they are for, with each part a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plait.testing import HubProcess, connected

EXAMPLE = Path(__file__).parents[2] / "examples" / "button_and_lamp"
WITHIN = 30


@asynccontextmanager
async def device(file, thing_id, hub):
    """Run a device's file, with its standard input and output here."""
    known = {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token(thing_id)}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE / file), env=os.environ | known, stdin=pipe, stdout=pipe
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


async def plait(hub, *arguments):
    known = {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.user_token(), "COLUMNS": "200"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "plait", *arguments), env=os.environ | known, stdout=pipe, stderr=pipe
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def press(button):
    button.stdin.write(b"\n")
    async with asyncio.timeout(WITHIN):
        return (await button.stdout.readline()).decode().strip()


async def test_a_button_switches_a_lamp_and_goes_on_when_the_hub_is_killed(tmp_path):
    async with (
        HubProcess(tmp_path) as hub,
        device("lamp.py", "urn:dev:lamp", hub),
        device("button.py", "urn:dev:button", hub) as button,
    ):
        async with connected(hub) as home:
            for thing in ("Lamp", "Button"):
                await home.wait_for(thing, timeout=WITHIN)
        code, output, _ = await plait(hub, "pair", "button", "lamp", "--for", "24h", "--only", "toggle")
        assert code == 0
        assert output.startswith("✓ Button may use Lamp until ")
        assert "only toggle, 1 day, 0:00:00 without the hub" in output
        assert await press(button) == "on"
        _, output, _ = await plait(hub, "pair", "--json")
        (pairing,) = json.loads(output)
        assert (pairing["with"], pairing["thingID"]) == ("urn:dev:button", "urn:dev:lamp")
        assert (pairing["names"], pairing["lease"]) == (["toggle"], 86_400)
        await hub.kill()
        assert [await press(button) for _ in range(4)] == ["off", "on", "off", "on"]
        await hub.start()
        assert await plait(hub, "unpair", "button", "lamp") == (0, "✓ Button may not use Lamp any more\n", "")
        async with asyncio.timeout(WITHIN):
            while "taken back" not in await press(button):
                pass  # the two are on their way back to the hub, and go on until they hear
        code, _, errors = await plait(hub, "unpair", "button", "lamp")
        assert code == 1
        assert "is not paired with" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pair", "button"), "two things are needed"),
        (("pair", "a", "b", "--for", "soon"), "not a time: 'soon'"),
    ],
)
async def test_a_wrong_command_is_told(tmp_path, arguments, words):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "plait", *arguments), stderr=asyncio.subprocess.PIPE, env=os.environ
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert words in errors.decode()
