"""The thing of `link`, and the traffic that both ends of it make: `python -m benchmarks._link HUB TOKEN`."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from typing import TYPE_CHECKING

from plait.thing import Thing

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.link import Channel, Link

ROBOT = "urn:dev:bench:robot"
HEAD = struct.Struct(">Qd")
"""The message's number, and when it was sent: CLOCK_MONOTONIC, which all processes of a machine share."""

SIZE = 100
"""Bytes of a message."""

BURST = 0.005
"""Seconds between bursts."""


class Flow:
    """One end of a channel on which numbered messages go both ways.

    Args:
        channel: reliable.
        rate: messages a second that this end sends.
    """

    def __init__(self, channel: Channel, rate: float) -> None:
        self.sent = self.came = self.doubled = self.out_of_order = 0
        self.stop = asyncio.Event()
        self.on_message: Callable[[float], None] | None = None
        self._channel = channel
        self._rate = rate
        self._numbers: set[int] = set()

    async def send(self) -> None:
        """Send until told to stop, then end this direction of the channel."""
        began = time.monotonic()
        while not self.stop.is_set():
            due = int((time.monotonic() - began) * self._rate)
            for _ in range(min(due - self.sent, 200)):
                head = HEAD.pack(self.sent, time.monotonic())
                await self._channel.send(head.ljust(SIZE, b"."))
                self.sent += 1
            await asyncio.sleep(BURST)
        self._channel.finish()

    async def receive(self) -> None:
        """Count what comes until the far end has ended its direction."""
        async for message in self._channel:
            assert isinstance(message, bytes)
            number, sent = HEAD.unpack_from(message)
            if number in self._numbers:
                self.doubled += 1
            elif number != len(self._numbers):
                self.out_of_order += 1
            self._numbers.add(number)
            self.came += 1
            if self.on_message is not None:
                self.on_message(sent)

    def tally(self) -> dict[str, int]:
        """Return what this end has sent and seen."""
        return {
            "sent": self.sent,
            "distinct": len(self._numbers),
            "doubled": self.doubled,
            "out_of_order": self.out_of_order,
        }


class Robot(Thing):
    """Sends as much as it gets, and says at the end what came."""

    async def on_link(self, link: Link) -> None:
        """Take part in one flow."""
        control = link.channel("control", priority=200)
        rate = float(await control.receive())
        flow = Flow(link.channel("flow"), rate)
        async with asyncio.TaskGroup() as both:
            both.create_task(flow.send())
            both.create_task(flow.receive())
            await control.receive()
            flow.stop.set()
        await control.send(json.dumps(flow.tally()))
        await control.receive()  # the app has read it


if __name__ == "__main__":
    Robot(ROBOT, title="Robot").run(hub=sys.argv[1], token=sys.argv[2])
