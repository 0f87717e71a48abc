"""What tests of links share: a pair of things, and what is waited for at an end of a link."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plait.thing import Thing, action, event, prop

if TYPE_CHECKING:
    from plait.link import Channel, Link

WITHIN = 20
"""Seconds in which whatever is waited for must come."""

LAMP, BUTTON, VALVE = "urn:dev:lamp", "urn:dev:button", "urn:dev:valve"


class Lamp(Thing):
    """A lamp, which also sends back what comes on "echo"."""

    on: bool = prop(False)
    level: int = prop(80)
    switched = event(bool)

    def __init__(self, id_: str = LAMP) -> None:
        super().__init__(id_)
        self.presses = 0
        self.links: list[Link] = []

    @action
    async def toggle(self) -> bool:
        self.presses += 1
        self.on = not self.on
        self.switched.emit(self.on)
        return self.on

    async def on_link(self, link: Link) -> None:
        self.links.append(link)
        echo = link.channel("echo")
        async for message in echo:
            await echo.send(message)


class Button(Thing):
    """What uses the lamp."""

    pressed = event()

    def __init__(self, id_: str = BUTTON) -> None:
        super().__init__(id_)


class Valve(Thing):
    """A valve in a pipe, with actions of every kind: one more time may matter, or not."""

    level: int = prop(0)
    pulsed = event(int)

    def __init__(self) -> None:
        super().__init__(VALVE)
        self.turned = 0
        self.links: list[Link] = []

    @action(idempotent=True)
    async def set_level(self, level: int) -> int:
        self.level = level
        return level

    @action(safe=True)
    async def measure(self) -> int:
        return self.level

    @action
    async def turn(self) -> int:
        self.turned += 1
        return self.turned

    async def on_link(self, link: Link) -> None:
        self.links.append(link)
        await link.closed.wait()


async def on(link: Link, name: str) -> None:
    """Wait until a path carries the link."""
    async with asyncio.timeout(WITHIN):
        while link.path.name != name:  # noqa: ASYNC110 - shorter than a callback that must be put back
            await asyncio.sleep(0.01)


async def said(channel: Channel) -> bytes | str:
    """Return the next message of a channel."""
    return await asyncio.wait_for(channel.receive(), WITHIN)


async def trip(channel: Channel, message: bytes | str) -> None:
    """Send what the far end sends back."""
    await channel.send(message)
    assert await said(channel) == message
