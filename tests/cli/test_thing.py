"""`plait thing` runs a user's own file."""

import asyncio
import os
import sys

import pytest
from typer.testing import CliRunner

from plait.cli.main import app
from plait.testing import connected, running_hub

ONE = """
from plait.thing import Thing, prop
class Fan(Thing):
    speed: int = prop(1)
    label: str = prop("")
"""
TWO = ONE + "class Pump(Thing):\n    rate: float = prop(0.5)\n"
RUNS = ONE + "Fan('urn:dev:mine', title='Mine').run(hub='http://127.0.0.1:9')\n"


async def start(tmp_path, text, *arguments, hub=None, target="thing.py", thing_id="urn:dev:fan"):
    (tmp_path / "thing.py").write_text(text)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PLAIT_")}
    if hub is not None:
        environment |= {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token(thing_id)}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "plait", "thing", str(tmp_path / target), *arguments),
        env=environment | {"COLUMNS": "200"},
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("text", "target", "arguments", "thing_id", "title"),
    [
        (ONE, "thing.py", (), "urn:dev:fan", "Fan"),
        (ONE, "thing.py", ("--id", "urn:dev:x", "--title", "My fan"), "urn:dev:x", "My fan"),
        (TWO, "thing.py:Fan", (), "urn:dev:fan", "Fan"),
        (RUNS, "thing.py", (), "urn:dev:mine", "Mine"),
    ],
)
async def test_a_file_is_run(tmp_path, text, target, arguments, *, thing_id, title):
    async with running_hub(tmp_path / "hub") as hub, connected(hub) as home:
        values = ("--set", "speed=5", "--set", "label=7")
        process = await start(tmp_path, text, *arguments, *values, hub=hub, target=target, thing_id=thing_id)
        thing = await home.wait_for(thing_id, timeout=20)
        await thing.online(timeout=10)
        assert thing.title == title
        assert await thing.read("speed") == 5
        assert await thing.read("label") == "7"
        process.terminate()
        _, said = await process.communicate()
        assert process.returncode == 0
        assert said.decode() == f"{title} is online ({thing_id})\n"


@pytest.mark.parametrize(
    ("text", "target", "arguments", "said"),
    [
        (ONE, "other.py", (), "there is no file"),
        (TWO, "thing.py", (), "has several Thing classes: say which, as"),
        (ONE, "thing.py:Pump", (), "has no Thing class Pump; it has Fan"),
        ("x = 1", "thing.py", (), "has no Thing class"),
        ("1 / 0", "thing.py", (), "ZeroDivisionError"),
        (
            ONE.replace("int = prop(1)", "complex = prop()"),
            "thing.py",
            (),
            "Fan.speed: `complex` has no JSON form",
        ),
        (ONE, "thing.py", ("--set", "speed=fast"), "Fan.speed: Expected `int`, got `str`"),
        (ONE, "thing.py", ("--set", "depth=1"), "Fan has speed, label"),
        (ONE, "thing.py", ("--id", "fan"), "'fan' is not a URI"),
        (ONE + "    def __init__(self): super().__init__()\n", "thing.py", (), "Fan cannot be made"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, monkeypatch, text, target, *, arguments, said):
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "thing.py").write_text(text)
    ran = CliRunner().invoke(app, ["thing", str(tmp_path / target), *arguments], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert said in ran.stderr
