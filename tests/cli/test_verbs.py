"""The verbs, as a person or a script types them, against a real hub."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from typing import Annotated

import pytest
from msgspec import Meta
from typer.testing import CliRunner

from plait import __version__
from plait.app import connect
from plait.cli.main import VERBS, app
from plait.link import receive_file
from plait.testing import HubProcess, served
from plait.thing import Thing, action, event, prop


class Lamp(Thing):
    """A lamp."""

    on: bool = prop(False)
    brightness: Annotated[int, Meta(ge=0, le=100)] = prop(80, unit="percent")
    label: str = prop("hall")
    pinged = event(int)

    @action
    async def blink(self, times: int = 1) -> int:
        self.pinged.emit(times)
        return times

    @action
    def fuse(self) -> None:
        raise OSError("the fuse is gone")

    @action
    def say(self, text: str, /) -> str:
        return text.upper()

    async def on_link(self, link):
        while True:
            await receive_file(link, self.folder)


@pytest.fixture
def house(live):
    """A hub and a lamp as it was when it was new."""
    for name, value in (("on", "false"), ("brightness", "80"), ("label", "hall")):
        assert plait("set", "urn:dev:lamp", name, value, hub=live[0])[0] == 0
    return live


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A hub and a lamp on a loop in another thread, so that verbs can run their own here."""
    hub = HubProcess(tmp_path_factory.mktemp("hub"))
    lamp = Lamp("urn:dev:lamp", title="Hall lamp")
    lamp.folder = tmp_path_factory.mktemp("files")
    ready, stop = threading.Event(), asyncio.Event()

    async def run():
        async with hub, served(lamp, hub=hub):
            ready.loop = asyncio.get_running_loop()
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(30)
    yield hub, lamp
    ready.loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def plait(*arguments, hub=None, **environment):
    """Run `plait` here, and return its exit code, output and error output."""
    given = {"PLAIT_HUB": None, "PLAIT_TOKEN": None, "COLUMNS": "200"}
    if hub is not None:
        given |= {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.user_token()}
    ran = CliRunner().invoke(app, arguments, env=given | environment, prog_name="plait")
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


def test_things_are_listed(house):
    hub, _ = house
    assert plait("things", hub=hub) == (0, "urn:dev:lamp\tHall lamp\tonline\n", "")
    code, output, _ = plait("things", "--json", hub=hub)
    assert code == 0
    (state,) = json.loads(output)
    assert state["description"]["title"] == "Hall lamp"
    assert state["properties"]["brightness"]["value"] == 80


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("get", "lamp", "brightness"), "80\n"),
        (("get", "Hall lamp", "label"), "hall\n"),
        (("get", "urn:dev:lamp", "on", "brightness"), "on\tfalse\nbrightness\t80\n"),
        (("get", "hall"), "on\tfalse\nbrightness\t80\nlabel\thall\n"),
        (("set", "lamp", "on", "on"), "true\n"),
        (("set", "lamp", "brightness", "7"), "7\n"),
        (("set", "lamp", "label", "7"), "7\n"),
        (("set", "lamp", "label", "7", "--json"), '"7"\n'),
        (("invoke", "lamp", "blink"), "1\n"),
        (("invoke", "lamp", "blink", "times=3"), "3\n"),
        (("invoke", "lamp", "blink", '{"times": 4}'), "4\n"),
        (("invoke", "lamp", "say", "good day"), "GOOD DAY\n"),
        (("invoke", "lamp", "say", "5", "--json"), '"5"\n'),
    ],
)
def test_a_verb_prints_what_a_script_wants(house, arguments, printed):
    assert plait(*arguments, hub=house[0]) == (0, printed, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("get", "lamp", "nose"), 1, "nose"),
        (("get", "toaster"), 1, "There is no thing 'toaster'; the hub has urn:dev:lamp"),
        (("set", "lamp", "brightness", "101"), 1, "101"),
        (("set", "lamp", "brightness", "bright"), 1, "bright"),
        (("invoke", "lamp", "fuse"), 1, "the fuse is gone"),
        (("invoke", "lamp", "blink", "thrice"), 2, "the input is an object: give times=…, or JSON"),
        (("invoke", "lamp", "say", "a", "b"), 2, "an input is one JSON value"),
        (("get", "lamp", "--hub", "nowhere"), 2, "Not a hub's address: 'nowhere'"),
        (("get", "lamp", "--token", "nonsense"), 1, "the hub does not take the token"),
        (("get",), 2, "Missing argument 'THING'"),
        (("get", "lamp", "--timeout", "-1"), 2, "--timeout"),
        (("frobnicate",), 2, "there is no `plait frobnicate`"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(house, arguments, code, said):
    ended, output, errors = plait(*arguments, hub=house[0], TERM="dumb")
    assert (ended, output) == (code, "")
    assert said in errors
    if code == 1:
        assert errors.startswith("plait: ")
        assert errors.count("\n") == 1


def test_a_file_is_sent(house, tmp_path):
    hub, lamp = house
    file = tmp_path / "scenes.json"
    file.write_text("[1, 2]" * 50_000)
    code, output, _ = plait("send", str(file), "lamp", hub=hub)
    assert code == 0
    assert "✓ scenes.json, 300.0 kB to Hall lamp" in output
    assert (lamp.folder / "scenes.json").read_text() == file.read_text()
    code, _, said = plait("send", str(tmp_path), "lamp", hub=hub)
    assert code == 2
    assert "is not a file" in said


def test_a_hub_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setitem(connect.__kwdefaults__, "timeout", 0.3)
    code, _, errors = plait("things", PLAIT_HUB="http://127.0.0.1:9", PLAIT_TOKEN="x")
    assert code == 1
    assert errors.startswith("plait: No hub at ws://127.0.0.1:9/ws within 0.3 s: ")


def test_watch_follows(house):
    hub, lamp = house
    code, output, _ = plait("watch", "lamp", "on", "-n", "1", hub=hub)
    assert code == 0
    assert output.split("\t")[1:] == ["on", "false\n"]
    stop = threading.Event()

    def move():
        while not stop.wait(0.05):
            lamp.pinged.emit(1)

    thread = threading.Thread(target=move)
    thread.start()
    code, output, errors = plait("watch", "lamp", "pinged", "--count", "3", "--json", hub=hub)
    stop.set()
    thread.join()
    assert (code, errors) == (0, "")
    changes = [json.loads(line) for line in output.splitlines()]
    assert [(change["kind"], change["name"], change["value"]) for change in changes] == [
        ("event", "pinged", 1)
    ] * 3


def test_watch_says_which_path_a_link_takes_and_why(house):
    hub, _ = house
    given = os.environ | {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.user_token()}
    command = [sys.executable, "-m", "plait", "watch", "lamp", "on", "--path", "--json"]
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True) as watching:
        told = []
        for line in watching.stdout:
            told.append(json.loads(line))
            if told[-1]["name"] == "direct":
                break
        watching.terminate()
    paths = [change for change in told if change["kind"] == "path"]
    assert [path["name"] for path in paths] == ["hub", "direct"]
    assert "direct is open" in paths[-1]["reason"]
    assert 0 < paths[-1]["rtt"] < 5


def test_version_and_help_name_every_verb():
    assert plait("--version") == (0, f"plait {__version__}\n", "")
    code, output, _ = plait("--help")
    assert code == 0
    for verb in VERBS:
        assert verb.help in output


def test_it_is_a_program():
    ran = subprocess.run(
        [sys.executable, "-m", "plait", "get"], capture_output=True, text=True, check=False, timeout=30
    )
    assert ran.returncode == 2
    assert "Missing argument 'THING'" in ran.stderr


@pytest.mark.parametrize("verb", ["things", "get", "set", "invoke", "watch", "thing", "pair", "unpair"])
def test_a_small_verb_imports_no_big_part(verb):
    source = (
        f"import sys, plait.cli.main, plait.cli.{verb}\n"
        "big = {'fastapi', 'uvicorn', 'sqlalchemy', 'av', 'plait.hub', 'plait.rtc', 'plait._native'}\n"
        "print(sorted(big & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
