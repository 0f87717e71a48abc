"""A camera in a place, which also counts over its links: device.py SOURCE ID, with PLAIT_HUB, PLAIT_TOKEN."""

from __future__ import annotations

import asyncio
import sys

from plait.thing.camera import Camera


class Counting(Camera):
    """A camera that sends 0, 1, 2, … to whoever links with it, 50 a second."""

    async def on_link(self, link) -> None:
        channel = link.channel("numbers")
        number = 0
        while not link.closed.is_set():
            await channel.send(str(number))
            number += 1
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    Counting(sys.argv[2], source=sys.argv[1]).run()
