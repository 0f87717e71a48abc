"""A thermometer, simulated: the air of a room that is heated, with the noise of a small sensor."""

from __future__ import annotations

import asyncio
import math
import random
import time
from typing import Annotated, Final

from msgspec import Meta

from plait.thing import Thing, event, prop

EVERY: Final = 1.0
"""Seconds between readings."""

_CYCLE: Final = 240.0
"""Seconds from one start of the heating to the next; faster than a real room, so that a chart moves."""


class Room:
    """The physics: temperature and humidity that lean towards where the heating drives them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.temperature = 20.5
        self.humidity = 45.0

    def step(self, now: float) -> None:
        """Let a second pass."""
        goal = 21.0 + 1.2 * math.sin(2 * math.pi * now / _CYCLE)
        self.temperature += 0.05 * (goal - self.temperature) + self._chance.gauss(0, 0.04)
        self.humidity += 0.05 * (66.0 - self.temperature - self.humidity) + self._chance.gauss(0, 0.15)
        self.humidity = min(max(self.humidity, 0.0), 100.0)


class Thermometer(Thing, types=["TemperatureSensor"]):
    """The temperature and the humidity of a room."""

    temperature: float = prop(20.5, readonly=True, unit="degreeCelsius", types=["TemperatureProperty"])
    humidity: Annotated[float, Meta(ge=0, le=100)] = prop(45.0, readonly=True, unit="percent")
    warm_above: float = prop(26.0, title="Warn above", unit="degreeCelsius")
    too_warm = event(float, unit="degreeCelsius", description="The temperature rose above the limit.")

    async def main(self) -> None:
        """Report a reading each second."""
        room = Room(random.Random())  # noqa: S311 - noise of a sensor, not a secret
        was_warm = False
        while True:
            room.step(time.monotonic())
            self.temperature = round(room.temperature, 2)
            self.humidity = round(room.humidity, 1)
            warm = self.temperature > self.warm_above
            if warm and not was_warm:
                self.too_warm.emit(self.temperature)
            was_warm = warm
            await asyncio.sleep(EVERY)
