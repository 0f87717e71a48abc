"""The devices of `idle`: `python -m benchmarks._devices HUB CA TOKENS`.

For each number on standard input, so many more connect, say hello and describe themselves, as a lamp does;
then it prints how many are connected. They stay, and answer pings, until standard input ends.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

from plait.thing import Thing, action, prop
from plait.transport.client import Client
from plait.transport.websocket import endpoint

AT_ONCE = 50


class Lamp(Thing):
    """A lamp, as in the README."""

    on: bool = prop(False, title="Power")
    temperature: float = prop(20.0, readonly=True, unit="degreeCelsius")

    @action
    async def blink(self, times: int = 3) -> None:
        """Blink."""


async def _connect(hub: str, thing: str, token: str, trust: ssl.SSLContext | None) -> Client:
    client = Client(endpoint(hub), on_message=lambda _: None, token=token, ssl=trust, software="bench/1")
    await client.start(timeout=60)
    await client.request("describething", timeout=60, value=Lamp(thing, title="Lamp").describe())
    return client


async def main(hub: str, ca: str, waiting: list[list[str]]) -> None:
    """Connect as told."""
    trust = ssl.create_default_context(cafile=ca) if ca else None
    clients: list[Client] = []
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted = len(clients) + int(line)
        while len(clients) < wanted:
            some = [waiting.pop() for _ in range(min(AT_ONCE, wanted - len(clients)))]
            clients += await asyncio.gather(*(_connect(hub, *each, trust) for each in some))
        print(sum(client.connected for client in clients), flush=True)


if __name__ == "__main__":
    tokens = [line.split() for line in Path(sys.argv[3]).read_text().splitlines()]
    asyncio.run(main(*sys.argv[1:3], tokens))
