"""Each release's conversations played back: its things and apps to the hub, its hub to things and apps."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from plait import app
from plait.testing import connected, running_hub, served
from plait.thing import serve
from plait.transport import websocket
from plait.wire import greeting
from plait.wire.errors import UnsupportedVersion

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("conversations", ROOT / "tools" / "conversations.py")
conversations = sys.modules["conversations"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conversations)

RELEASES = sorted(folder.name for folder in conversations.RELEASES.iterdir())
PROBE = conversations.PROBE


def steps(release, who):
    return json.loads((conversations.RELEASES / release / f"{who}.json").read_text(encoding="utf-8"))["steps"]


class PlayedClient:
    """A client that says what a recorded one said."""

    def __init__(self, recorded, hub, token):
        self.player = conversations.Player(recorded, "client")
        self._hub = hub
        self._token = token
        self._again = asyncio.Event()

    async def play(self):
        await self._dial()
        await self.player.play(self._cut)
        self.player.transport.close()

    async def cut(self):
        """Return once it has come back."""
        await asyncio.wait_for(self._again.wait(), conversations.WITHIN)

    async def _cut(self):
        self.player.transport.abort()
        await self._dial()
        self._again.set()

    async def _dial(self):
        url = websocket.endpoint(self._hub)
        await websocket.connect(url, token=self._token, on_open=self.player.attach)


@pytest.mark.parametrize("release", RELEASES)
async def test_a_thing_of_then_and_the_hub_of_today(release, tmp_path):
    async with running_hub(tmp_path) as hub, connected(hub) as home:
        thing = PlayedClient(steps(release, "thing"), hub.url, hub.token(PROBE))
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(thing.play())
            group.create_task(conversations.drive(home, thing.cut))


@pytest.mark.parametrize("release", RELEASES)
async def test_an_app_of_then_and_the_hub_of_today(release, tmp_path):
    async with running_hub(tmp_path) as hub, served(conversations.Probe(PROBE), hub=hub), asyncio.timeout(30):
        await PlayedClient(steps(release, "app"), hub.url, hub.user_token()).play()


@pytest.mark.parametrize("release", RELEASES)
async def test_a_hub_of_then_and_the_thing_of_today(release):
    async with conversations.PlayedHub(steps(release, "thing")) as hub, conversations.probing(hub.url):
        await hub.play()


@pytest.mark.parametrize("release", RELEASES)
async def test_a_hub_of_then_and_the_app_of_today(release):
    async with conversations.PlayedHub(steps(release, "app")) as hub, asyncio.timeout(30):
        playing = asyncio.create_task(hub.play())
        async with app.connect(hub.url, token="any") as home:
            await conversations.drive(home, hub.cut)
            await playing


async def test_an_answer_that_is_not_the_one_of_then_is_found(tmp_path, monkeypatch):
    """This test can fail: a recorded refusal that has become another one is named."""
    monkeypatch.setattr(conversations, "WITHIN", 3.0)
    changed = json.loads(
        json.dumps(steps(RELEASES[0], "app")).replace("problem:read-only", "problem:forbidden")
    )
    async with running_hub(tmp_path) as hub, served(conversations.Probe(PROBE), hub=hub):
        with pytest.raises(AssertionError, match="problem:forbidden"):
            await PlayedClient(changed, hub.url, hub.user_token()).play()


@pytest.mark.parametrize("who", ["thing", "app"])
async def test_a_hub_of_only_newer_versions_says_so(who, tmp_path, monkeypatch):
    async with running_hub(tmp_path) as hub:
        monkeypatch.setattr(greeting, "OLDEST_PROTOCOL", 2)
        token = hub.token(PROBE) if who == "thing" else hub.user_token()
        with pytest.raises(UnsupportedVersion, match="speaks protocol 2 to 3, the client at most 1"):
            # The client in this process says hello for its own version, which is 1 still.
            await _refused(who, hub.url, token, monkeypatch)


async def _refused(who, url, token, monkeypatch):
    says = greeting.hello

    def hello(session, software, **more):
        message = says(session, software, **more)
        message.input["protocol"] = 1
        return message

    monkeypatch.setattr(greeting, "PROTOCOL", 3)
    monkeypatch.setattr("plait.transport.conversation.hello", hello)
    async with asyncio.timeout(10):
        if who == "thing":
            await serve(conversations.Probe(PROBE), hub=url, token=token)
        else:
            async with app.connect(url, token=token):
                pass
