"""Apps on a real hub."""

import asyncio
import enum
from typing import Any

import msgspec
import pytest

from plait import app
from plait.testing import HubProcess, connected, running_hub, served
from plait.thing import Thing, action, event, prop
from plait.wire.errors import (
    Expired,
    Forbidden,
    InvalidValue,
    Offline,
    SessionLost,
    Timeout,
    Unauthorized,
    UnknownThing,
)


class Mode(enum.Enum):
    ECO = "eco"
    BOOST = "boost"


class Window(msgspec.Struct):
    start: int
    end: int = 24


class Heater(Thing):
    on: bool = prop(False)
    level: int = prop(0)
    mode: Mode = prop(Mode.ECO)
    window: Window = prop(Window(6))
    clicked = event(int)

    @action
    async def stall(self) -> None:
        await asyncio.sleep(60)

    @action
    async def schedule(self, window: Window, mode: Mode = Mode.ECO) -> Window:
        self.mode = mode
        return window

    @action
    def echo(self, value: Any, /) -> Any:
        return value


def heater(name: str) -> Heater:
    return Heater(f"urn:dev:heater:{name}", title=f"Heater in the {name}")


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def hall(hub):
    hall = heater("hall")
    async with served(hall, hub=hub):
        yield hall


@pytest.fixture
async def home(hub, hall):
    async with connected(hub) as home:
        yield home


async def take(changes, count):
    taken = []
    async with asyncio.timeout(10):
        async for change in changes:
            taken.append(change)
            if len(taken) == count:
                return taken
    raise AssertionError


async def settle(changes, name, value):
    async with asyncio.timeout(10):
        async for change in changes:
            if (change.name, change.value) == (name, value):
                return change
    raise AssertionError


async def test_things_are_found_by_id_title_and_part(hub, home, hall):
    async with served(heater("kitchen"), hub=hub):
        await home.wait_for("urn:dev:heater:kitchen", timeout=10)
        assert [thing.title for thing in await home.things()] == [
            "Heater in the hall",
            "Heater in the kitchen",
        ]
        assert home.thing("urn:dev:heater:hall").title == "Heater in the hall"
        assert home.thing("heater in the HALL").id == "urn:dev:heater:hall"
        assert home.find("kitch").id == "urn:dev:heater:kitchen"
        with pytest.raises(UnknownThing, match="Several things fit 'heater': urn:dev:heater:hall, urn"):
            home.find("heater")
        with pytest.raises(UnknownThing, match="There is no thing 'hall'; the hub has urn:dev:heater:hall"):
            home.thing("hall")


async def test_a_proxy_tells_what_the_thing_has(home, hall):
    proxy = home.thing("urn:dev:heater:hall")
    assert proxy.presence.state == "online"
    assert list(proxy.properties) == ["on", "level", "mode", "window"]
    assert set(proxy.actions) == {"stall", "schedule", "echo"}
    assert proxy.events["clicked"]["data"] == {"type": "integer"}
    assert "online" in repr(proxy)
    assert home.rtt is None or home.rtt > 0


async def test_python_values_travel(home, hall):
    proxy = home.thing("urn:dev:heater:hall")
    assert await proxy.write("mode", Mode.BOOST) == "boost"
    assert hall.mode is Mode.BOOST
    assert await proxy.write("window", Window(1, 2)) == {"start": 1, "end": 2}
    assert await proxy.invoke("schedule", window=Window(3), mode=Mode.ECO) == {"start": 3, "end": 24}
    assert hall.mode is Mode.ECO
    assert await proxy.invoke("echo", [1, None, {"x": "y"}]) == [1, None, {"x": "y"}]
    with pytest.raises(TypeError, match="an input or arguments"):
        await proxy.invoke("echo", 1, x=2)
    with pytest.raises(InvalidValue):
        await proxy.write("mode", "hot")


async def test_an_answer_that_does_not_come_is_a_timeout(home, hall):
    with pytest.raises((Timeout, Expired)):
        await home.thing("urn:dev:heater:hall").invoke("stall", timeout=0.3)


async def test_a_thing_that_is_away_is_offline_and_its_last_values_are_there(hub, hall):
    async with served(heater("attic"), hub=hub), connected(hub) as home:
        attic = home.thing("urn:dev:heater:attic")
        await attic.write("level", 7)
    async with connected(hub) as home:
        attic = home.thing("urn:dev:heater:attic")
        with pytest.raises(Timeout, match="did not come online within"):
            await attic.online(timeout=0.1)
        with pytest.raises(Offline):
            await attic.write("level", 8)
        with pytest.raises(Offline):
            await attic.invoke("stall")
        assert await attic.read("level") == 7
        async with served(heater("attic"), hub=hub):
            await attic.online(timeout=10)
            assert attic.presence.state == "online"


async def test_a_watch_begins_with_what_is_known_and_goes_on(home, hall):
    changes = home.thing("urn:dev:heater:hall").watch()
    first = await take(changes, 5)
    assert [(change.kind, change.name, change.value) for change in first] == [
        ("presence", "presence", "online"),
        ("property", "on", False),
        ("property", "level", 0),
        ("property", "mode", "eco"),
        ("property", "window", {"start": 6, "end": 24}),
    ]
    hall.level = 3
    hall.clicked.emit(9)
    assert [(change.kind, change.name, change.value) for change in await take(changes, 2)] == [
        ("property", "level", 3),
        ("event", "clicked", 9),
    ]
    await changes.aclose()


async def test_a_watch_of_some_tells_only_those(home, hall):
    changes = home.thing("urn:dev:heater:hall").watch("level", "clicked")
    assert [change.name for change in await take(changes, 1)] == ["level"]
    hall.on = True
    hall.clicked.emit(1)
    hall.level = 5
    assert [change.name for change in await take(changes, 2)] == ["clicked", "level"]
    await changes.aclose()


async def test_a_slow_watcher_sees_the_newest_value_and_every_event_that_fits(home, hall):
    changes = home.thing("urn:dev:heater:hall").watch("level", "clicked", limit=10)
    await take(changes, 1)
    for number in range(200):
        hall.level = number
        if number % 50 == 0:
            hall.clicked.emit(number)
    other = home.thing("urn:dev:heater:hall").watch("level")
    await settle(other, "level", 199)
    await other.aclose()
    async with asyncio.timeout(10):
        seen = [change async for change in _until(changes, 199)]
    assert [change.value for change in seen if change.name == "clicked"] == [0, 50, 100, 150]
    assert len(seen) <= 20
    await changes.aclose()


async def _until(changes, value):
    async for change in changes:
        yield change
        if change.value == value:
            return


async def test_two_watch_the_same_and_one_may_leave(home, hall):
    proxy = home.thing("urn:dev:heater:hall")
    one, two = proxy.watch("level"), proxy.watch("level")
    await take(one, 1)
    await take(two, 1)
    await one.aclose()
    hall.level = 4
    assert (await take(two, 1))[0].value == 4
    await two.aclose()


async def test_presence_is_told(hub, home, hall):
    async with served(heater("shed"), hub=hub):
        shed = await home.wait_for("urn:dev:heater:shed", timeout=10)
        changes = shed.watch()
        await settle(changes, "presence", "online")
    await settle(changes, "presence", "offline")
    async with served(heater("shed"), hub=hub):
        await settle(changes, "presence", "online")
    await changes.aclose()


async def test_a_watch_of_nothing_known_is_an_error(home):
    with pytest.raises(UnknownThing):
        await take(app.ThingProxy(home, "urn:dev:nothing").watch(), 1)


async def test_everything_comes_back_after_the_hub_was_killed(tmp_path):
    attic = heater("attic")
    async with HubProcess(tmp_path) as hub, served(attic, hub=hub), connected(hub) as home:
        states = []
        home.on_state = states.append
        changes = home.thing(attic.id).watch("level")
        await settle(changes, "level", 0)
        await hub.kill()
        attic.level = 1
        await hub.start()
        await settle(changes, "level", 1)
        attic.level = 2
        await settle(changes, "level", 2)
        await home.thing(attic.id).online(timeout=10)
        assert await home.thing(attic.id).write("level", 3) == 3
        assert states[0] == "lost"
        assert states[-1] in {"connected", "resumed"}
        await changes.aclose()


async def test_a_wrong_token_is_unauthorized(hub):
    with pytest.raises(Unauthorized):
        async with app.connect(hub.url, token="nonsense"):
            raise AssertionError


async def test_a_hub_that_is_not_there_is_a_timeout():
    with pytest.raises(Timeout, match=r"No hub at ws://127\.0\.0\.1:9/ws within 0\.3 s"):
        async with app.connect("http://127.0.0.1:9", token="x", timeout=0.3):
            raise AssertionError


async def test_a_device_may_not_act_as_an_app(hub, hall):
    async with app.connect(hub.url, token=hub.token("urn:dev:other")) as home:
        with pytest.raises((Forbidden, UnknownThing)):
            await app.ThingProxy(home, hall.id).write("level", 1)


async def test_hub_and_token_come_from_the_environment(hub, hall, monkeypatch):
    monkeypatch.setenv("PLAIT_HUB", hub.url)
    monkeypatch.setenv("PLAIT_TOKEN", hub.user_token())
    async with app.connect() as home:
        assert await home.thing(hall.id).read("on") is False


async def test_what_waits_ends_when_the_connection_is_closed(hub, hall):
    async with connected(hub) as home:
        changes = home.thing(hall.id).watch("level")
        await take(changes, 1)
        watching = asyncio.create_task(take(changes, 1))
        waiting = asyncio.create_task(home.wait_for("urn:dev:nothing"))
        await asyncio.sleep(0)
    for task in (watching, waiting):
        with pytest.raises(SessionLost):
            await asyncio.wait_for(task, 10)
