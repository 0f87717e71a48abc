"""The simulated things by themselves."""

import asyncio
import random

import pytest

from plait.gallery.household import small_things
from plait.gallery.lamp import Lamp
from plait.gallery.thermometer import Room, Thermometer
from plait.thing.state import state_of
from plait.wire.messages import OBSERVE_PROPERTY, SUBSCRIBE_EVENT


def test_the_household_describes_itself():
    lamp, thermometer = (thing.describe() for thing in small_things())
    assert lamp["@type"] == ["Light"]
    assert lamp["properties"]["on"]["type"] == "boolean"
    assert thermometer["properties"]["temperature"]["readOnly"]
    assert thermometer["properties"]["temperature"]["unit"] == "degreeCelsius"


async def test_a_lamp_blinks_and_ends_as_it_began():
    lamp = Lamp()
    assert lamp.on is False
    seen = []
    blinking = asyncio.create_task(lamp.blink(2))
    while not blinking.done():
        if not seen or seen[-1] != lamp.on:
            seen.append(lamp.on)
        await asyncio.sleep(0.01)
    assert seen == [False, True, False, True, False]


@pytest.mark.parametrize("seed", range(5))
def test_a_room_stays_a_room(seed):
    room = Room(random.Random(seed))
    temperatures = []
    for second in range(3_600):
        room.step(second)
        temperatures.append(room.temperature)
        assert 0 <= room.humidity <= 100
    assert 18 < min(temperatures) < max(temperatures) < 24
    assert max(temperatures) - min(temperatures) > 1, "a chart that moves"


async def test_a_room_that_gets_too_warm_is_told_once(monkeypatch):
    monkeypatch.setattr("plait.gallery.thermometer.EVERY", 0.0)
    thermometer = Thermometer()
    thermometer.warm_above = 0.0
    told = []
    state_of(thermometer).attach(
        asyncio.get_running_loop(), lambda operation, name, **_: told.append((operation, name))
    )
    main = asyncio.create_task(thermometer.main())
    for _ in range(20):
        await asyncio.sleep(0)
    main.cancel()
    assert told.count((SUBSCRIBE_EVENT, "too_warm")) == 1
    assert told.count((OBSERVE_PROPERTY, "temperature")) > 5
