"""Links between an app and a thing through a real hub and real engines, while their paths come and go."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from typing import TYPE_CHECKING

import pytest

from plait.link.link import Link as LinkEnd
from plait.testing import HubProcess, connected, served
from plait.thing import Thing, prop
from plait.wire import link as wire
from plait.wire.errors import (
    InvalidValue,
    LinkLost,
    Offline,
    ReadOnly,
    UnknownAffordance,
    UnknownThing,
)

from .ends import WITHIN, on, trip

if TYPE_CHECKING:
    from plait.link import Channel, Link, Values


class Switch(Thing):
    """It takes links for its properties alone."""

    on: bool = prop(False)
    serial: str = prop("7", readonly=True)

    def __init__(self) -> None:
        super().__init__("urn:dev:switch")


class Robot(Thing):
    """Sends back what comes on "echo", and shows the values that come."""

    def __init__(self) -> None:
        super().__init__("urn:dev:robot")
        self.links: list[Link] = []
        self.ended = asyncio.Event()
        self.fails = ""

    async def on_link(self, link: Link) -> None:
        self.links.append(link)
        if self.fails:
            raise RuntimeError(self.fails)
        echo, shown = link.channel("echo"), link.values("state")
        shown.on_value = lambda key, value: shown.set(f"seen {key}", value)
        stick = link.channel("stick", "datagram", priority=200)
        stick.on_message = stick.send_nowait
        try:
            async for message in echo:
                await echo.send(message)
        finally:
            self.ended.set()


@pytest.fixture
async def robot(hub):
    robot = Robot()
    async with served(robot, hub=hub):
        yield robot


@pytest.fixture
async def home(hub, robot):
    async with connected(hub) as home:
        yield home


async def test_it_starts_through_the_hub_and_moves_to_the_direct_path(home, robot):
    paths = []
    async with home.thing("Robot").link() as link:
        link.on_path = paths.append
        echo = link.channel("echo")
        await trip(echo, "at once")
        await on(link, "direct")
        await trip(echo, b"directly" * 10_000)
        assert "direct is open" in paths[-1].reason
        stats = link.stats()
        assert stats["hub"]["open"]
        assert stats["direct"]["rtt"] < 5
        await on(robot.links[0], "direct")
    await asyncio.wait_for(robot.ended.wait(), WITHIN)


async def test_without_a_direct_path_it_stays_on_the_hub(home):
    async with home.thing("Robot").link(direct=False) as link:
        echo = link.channel("echo")
        for size in (0, 1, 70_000, 3_000_000):
            await trip(echo, bytes(size))
        assert link.path.name == "hub"


@pytest.mark.parametrize("direct", [True, False])
async def test_values_and_datagrams(home, direct):
    async with home.thing("Robot").link(direct=direct) as link:
        await on(link, "direct" if direct else "hub")
        state, stick = link.values("state"), link.channel("stick", "datagram")
        for number in range(50):
            state.set("speed", str(number))
        async with asyncio.timeout(WITHIN):
            async for key, value in state:
                assert key == "seen speed"
                if value == "49":
                    break
            stick.send_nowait(b"left")
            assert await stick.receive() == b"left"


async def test_messages_flow_on_while_the_direct_path_breaks(home, robot):
    async with home.thing("Robot").link() as link:
        echo = link.channel("echo")
        await on(link, "direct")

        async def count() -> list[int]:
            return [int(await echo.receive()) for _ in range(300)]

        counting = asyncio.create_task(count())
        for number in range(300):
            await echo.send(str(number))
            if number == 100:
                await direct_of(home)._peer.close()
            await asyncio.sleep(0.002)
        assert await asyncio.wait_for(counting, WITHIN) == list(range(300))
        assert link.stats()["direct"]["failures"] == 1
        await on(link, "direct")  # another connection, after a while


def direct_of(home):
    (opener,) = home.links.values()
    return opener._direct


async def test_messages_flow_on_while_the_websocket_breaks(home, hub):
    async with home.thing("Robot").link(direct=False) as link:
        echo = link.channel("echo")
        for number in range(30):
            await echo.send(str(number))
            if number % 10 == 5:
                for client in hub.clients:
                    if client.transport is not None:
                        client.transport.close(1011, "cut")
            await asyncio.sleep(0.01)
        assert [int(await asyncio.wait_for(echo.receive(), WITHIN)) for _ in range(30)] == list(range(30))


@pytest.mark.parametrize("direct", [True, False])
async def test_a_hub_that_is_killed_and_comes_back(tmp_path, direct):
    robot = Robot()
    async with HubProcess(tmp_path) as hub, served(robot, hub=hub), connected(hub) as home:
        async with home.thing("Robot").link(direct=direct) as link:
            echo = link.channel("echo")
            await trip(echo, "before")
            await on(link, "direct" if direct else "hub")
            await hub.kill()
            for number in range(20):
                echo.send_nowait(str(number))
            if direct:
                assert await asyncio.wait_for(echo.receive(), WITHIN) == "0", "it works without the hub"
            await hub.start()
            first = 1 if direct else 0
            got = [await asyncio.wait_for(echo.receive(), WITHIN) for _ in range(first, 20)]
            assert [int(message) for message in got] == list(range(first, 20))
            async with asyncio.timeout(WITHIN):
                while not link.is_open("hub"):  # noqa: ASYNC110 - the state of a path
                    await asyncio.sleep(0.05)
        assert len(robot.links) == 1, "it is the same link"


ECHO = """
from plait.thing import Thing
class Echo(Thing):
    async def on_link(self, link):
        echo = link.channel("echo")
        async for message in echo:
            await echo.send(message)
Echo("urn:dev:echo").run()
"""


async def device(hub) -> asyncio.subprocess.Process:
    known = {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token("urn:dev:echo")}
    return await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, env=os.environ | known)


async def test_a_device_that_is_killed_does_not_know_the_link_any_more(hub):
    process = await device(hub)
    try:
        async with connected(hub) as home:
            thing = await home.wait_for("urn:dev:echo", timeout=WITHIN)
            async with thing.link(direct=False) as link:
                echo = link.channel("echo")
                await trip(echo, "x")
                process.kill()
                await process.wait()
                process = await device(hub)
                with pytest.raises(LinkLost, match="begun anew"):
                    await asyncio.wait_for(echo.receive(), WITHIN)
                assert isinstance(link.error, LinkLost)
                with pytest.raises(LinkLost):
                    link.channel("echo")
    finally:
        process.kill()
        await process.wait()


class Talker(Robot):
    """Begins to talk as soon as it has a link."""

    async def on_link(self, link: Link) -> None:
        echo = link.channel("echo")
        for number in range(5):
            await echo.send(f"anew {number}")
        await super().on_link(link)


async def test_what_a_device_says_anew_is_not_taken_for_the_old_link(hub, monkeypatch):
    monkeypatch.setattr("plait.thing.links.Links._say_end", lambda *_: None)  # as one that was killed
    async with connected(hub) as home:
        async with served(Robot(), hub=hub):
            thing = await home.wait_for("Robot", timeout=WITHIN)
            opener = thing.link(direct=False)
            link = await opener.__aenter__()
            echo = link.channel("echo")
            await trip(echo, "x")
        came, take, ask = asyncio.Event(), opener.take, opener._route.ask

        def taken(message):
            take(message)
            if message.operation == "link" and b"anew" in base64.b64decode(message.data):
                came.set()

        async def overtaken():
            answer = await ask()
            await asyncio.wait_for(came.wait(), WITHIN)  # its first packets are here before its answer
            return answer

        opener.take, opener._route.ask = taken, overtaken
        async with served(Talker(), hub=hub):
            with pytest.raises(LinkLost, match="begun anew"):
                pytest.fail(f"took {await asyncio.wait_for(echo.receive(), WITHIN)!r}")
            await opener.__aexit__(None, None, None)


async def test_the_thing_ends_it_and_says_why(home, robot):
    robot.fails = "out of paper"
    async with home.thing("Robot").link(direct=False) as link:
        echo = link.channel("echo")
        with pytest.raises(LinkLost, match="out of paper"):
            await asyncio.wait_for(echo.receive(), WITHIN)
        with pytest.raises(LinkLost, match="out of paper"):
            await echo.send("x")


async def test_what_cannot_be_linked_to(home, hub):
    with pytest.raises(UnknownThing):
        async with home.thing("nobody").link():
            pass
    lamp = Thing("urn:dev:lamp", title="Lamp")
    async with served(lamp, hub=hub):
        thing = await home.wait_for("Lamp", timeout=WITHIN)
    with pytest.raises(Offline):
        async with thing.link():
            pass


async def test_the_hub_forgets_a_link_with_its_end(home, hub):
    async with home.thing("Robot").link(direct=False) as link:
        room = next(room for room in hub.clients.rooms if type(room).__name__ == "Links")
        route = room._routes[link.id]
        assert route.thing_id == "urn:dev:robot"
        await trip(link.channel("echo"), "x")
    async with asyncio.timeout(WITHIN):
        while room._routes or room._by_client:  # noqa: ASYNC110 - the hub tells nobody
            await asyncio.sleep(0.01)


async def test_junk_in_place_of_packets_harms_nobody(home, robot):
    async with home.thing("Robot").link(direct=False) as link:
        echo = link.channel("echo")
        for junk in ("", "!!!", "AAAA", 7, None, "BQEB"):
            home.client.notify("link", thing_id="urn:dev:robot", call=link.id, data=junk)
        home.client.notify("link", thing_id="urn:dev:robot", call="nowhere", data="AAAA")
        await trip(echo, "still here")


async def test_a_channel_of_two_classes_is_refused_alone(home, robot):
    async with home.thing("Robot").link(direct=False) as link:
        wrong = link.channel("state")
        with pytest.raises(InvalidValue, match="of the class reliable"):
            link.values("state")
        await wrong.send("x")
        with pytest.raises(Exception, match="latest here, reliable there"):
            await asyncio.wait_for(wrong.receive(), WITHIN)
        await trip(link.channel("echo"), "others go on")


async def test_a_channel_that_nobody_awaits_is_told(home, robot):
    told: list[Channel | Values] = []
    async with home.thing("Robot").link(direct=False) as link:
        await trip(link.channel("echo"), "x")
        robot.links[0].on_channel = told.append
        await link.channel("new").send("hello")
        async with asyncio.timeout(WITHIN):
            while not told:  # noqa: ASYNC110 - the other end is told
                await asyncio.sleep(0.01)
            assert await told[0].receive() == "hello"


async def test_a_link_that_is_closed_ends_loops_without_an_error(home, robot):
    async with home.thing("Robot").link(direct=False) as link:
        await trip(link.channel("echo"), "x")
        far = robot.links[0]
    await asyncio.wait_for(far.closed.wait(), WITHIN)
    assert far.error is None
    assert robot.ended.is_set()
    with pytest.raises(LinkLost, match="closed"):
        link.channel("echo")


async def test_properties_ride_on_a_direct_link_and_the_hub_may_be_away(tmp_path):
    lamp = Switch()
    async with HubProcess(tmp_path) as hub, served(lamp, hub=hub), connected(hub) as home:
        proxy = home.thing("Switch")
        async with proxy.link() as link:
            await on(link, "direct")
            await hub.kill()
            assert await proxy.write("on", True) is True
            assert lamp.on is True
            assert await proxy.read("on") is True
            with pytest.raises(InvalidValue):
                await proxy.write("on", "maybe")
            with pytest.raises(UnknownAffordance):
                await proxy.read("nothing")
            with pytest.raises(ReadOnly):
                await proxy.write("serial", "x")
            await hub.start()
            async with asyncio.timeout(WITHIN):
                while (await proxy.readings())["on"].value is not True:  # noqa: ASYNC110 - the hub tells on asking
                    await asyncio.sleep(0.05)


async def test_what_comes_after_the_end_is_dropped():
    far, here = wire.Link(), LinkEnd("x")
    far.open("flow")
    far.send("flow", b"late", now=0.0)
    packet = far.poll(0.0)
    assert packet is not None
    flow = here.channel("flow")
    here.close()
    here.receive("hub", packet)
    with pytest.raises(LinkLost):
        await flow.receive()
