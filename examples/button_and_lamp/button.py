"""A button that switches a lamp, hub or no hub. Press it with Enter.

plait pair button lamp --for 24h
"""

import asyncio
import sys

from plait.thing import Thing, event
from plait.wire.errors import PlaitError


class Button(Thing):
    """A button at the wall."""

    pressed = event()

    async def main(self) -> None:
        lamp = self.peer("lamp")
        while await asyncio.to_thread(sys.stdin.readline):
            self.pressed.emit()
            try:
                print("on" if await lamp.invoke("toggle") else "off", flush=True)
            except PlaitError as error:  # not paired, not any more, or no way to it
                print(error, flush=True)


if __name__ == "__main__":
    Button("urn:dev:button").run()
