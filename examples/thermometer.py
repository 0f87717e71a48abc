"""A thermometer: reports every second, and warns once when it gets too warm.

PLAIT_TOKEN=$(plait hub token urn:dev:thermometer) python thermometer.py
"""

import asyncio
import random

from plait.thing import Thing, event, prop


class Thermometer(Thing):
    """The temperature of the living room."""

    temperature: float = prop(readonly=True, unit="degreeCelsius")
    limit: float = prop(24.0, unit="degreeCelsius", description="Warn above this.")
    too_warm = event(float, unit="degreeCelsius")

    async def main(self) -> None:
        """Runs while the thing is served, with or without a hub: readings wait until they are delivered."""
        warned = False
        degrees = 21.0
        while True:
            degrees += random.gauss(0, 0.1)
            self.temperature = round(degrees, 2)
            if degrees > self.limit and not warned:
                self.too_warm.emit(self.temperature)
            warned = degrees > self.limit
            await asyncio.sleep(1)


if __name__ == "__main__":
    Thermometer("urn:dev:thermometer").run()
