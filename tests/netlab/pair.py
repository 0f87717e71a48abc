"""A hub, a lamp, or a button that uses it: pair.py ROLE FOLDER, with PLAIT_HUB and PLAIT_TOKEN."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from plait.app.pairing import pair
from plait.testing import connected, running_hub
from plait.thing import Thing, action, prop

LAMP, BUTTON = "urn:dev:lamp", "urn:dev:button"
PORT = 8080


class Lamp(Thing):
    """A lamp."""

    on: bool = prop(False)

    @action
    async def toggle(self) -> bool:
        self.on = not self.on
        return self.on


class Button(Thing):
    """Presses at each line of stdin, and says what became of it."""

    async def main(self) -> None:
        lamp = self.peer("lamp")
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while await lines.readline():
            link = await lamp.linked(timeout=60)
            say(on=await lamp.invoke("toggle", timeout=60), path=link.path.name)


def say(**told):
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def hub(folder):
    """Run a hub and pair the two when they are there."""
    async with running_hub(folder, host="0.0.0.0", port=PORT, tls="off") as running:
        say(tokens={each: running.token(each) for each in (LAMP, BUTTON)})
        async with connected(running) as home:
            for each in (LAMP, BUTTON):
                await home.wait_for(each, timeout=30)
            await pair(home, BUTTON, LAMP)
            say(paired=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    role, folder = sys.argv[1], Path(sys.argv[2])
    if role == "hub":
        asyncio.run(hub(folder))
    else:
        (Lamp(LAMP) if role == "lamp" else Button(BUTTON)).run(folder=folder)
