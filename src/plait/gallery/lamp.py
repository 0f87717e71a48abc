"""A lamp, simulated: it switches with the small delay of a real relay, and says what it did."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from msgspec import Meta

from plait.thing import Thing, action, prop

RELAY: Final = 0.05
"""Seconds that a relay takes to close; the confirmation comes after it."""

MOST_BLINKS: Final = 20


class Lamp(Thing, types=["Light"]):
    """A lamp that can be switched and dimmed."""

    on: bool = prop(False, title="Power", types=["OnOffProperty"])
    brightness: Annotated[int, Meta(ge=0, le=100)] = prop(80, unit="percent", types=["BrightnessProperty"])

    async def set_on(self, value: bool) -> bool:
        """Switch, and confirm what the relay did."""
        await asyncio.sleep(RELAY)
        return value

    @action
    async def blink(self, times: Annotated[int, Meta(ge=1, le=MOST_BLINKS)] = 3) -> None:
        """Blink, and end as it began."""
        before = self.on
        for _ in range(times):
            self.on = not before
            await asyncio.sleep(0.2)
            self.on = before
            await asyncio.sleep(0.2)
