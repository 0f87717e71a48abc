"""A lamp: switched and dimmed by apps, and able to blink.

PLAIT_TOKEN=$(plait hub token urn:dev:lamp) python lamp.py
"""

import asyncio
from typing import Annotated

from msgspec import Meta

from plait.thing import Thing, action, event, prop


class Lamp(Thing):
    """A lamp in the hall."""

    on: bool = prop(False, title="Power")
    brightness: Annotated[int, Meta(ge=0, le=100)] = prop(100, unit="percent")
    overheated = event(float, unit="degreeCelsius")

    async def set_brightness(self, value: int) -> int:
        """Called when an app writes; what it returns is what the app is told."""
        await asyncio.sleep(0.05)  # the dimmer takes its time
        return value - value % 5  # and has twenty steps

    @action
    async def blink(self, times: int = 3) -> None:
        """Blink a few times."""
        for _ in range(2 * times):
            self.on = not self.on
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    Lamp("urn:dev:lamp", title="Hall lamp").run()
