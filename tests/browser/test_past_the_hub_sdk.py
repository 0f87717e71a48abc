"""What passes the hub by on a direct link of the TypeScript SDK's: in Node, with a thing in Python."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.browser.sdk import needs_node, vitest
from tests.link import ends

from plait.link.direct import Direct
from plait.testing import HubProcess, running_hub, served
from plait.thing import action
from plait.wire.errors import LinkLost

pytestmark = [
    pytest.mark.timeout(120),
    needs_node,
]


TESTS = "real-past-the-hub"
WITHIN = 90
"""Seconds, on a machine that may be busy."""


class Valve(ends.Valve):
    """A valve that does what it is told on a link's channel `orders`."""

    def __init__(self, hub):
        super().__init__()
        self._hub = hub
        self.directs = []

    @action
    async def count(self, last: int) -> None:
        for number in range(last + 1):
            self.level = number
            self.pulsed.emit(number)
            await asyncio.sleep(0.005)

    async def on_link(self, link):
        self.links.append(link)
        orders = link.channel("orders")
        async for order in orders:
            what, *given = json.loads(order)
            answer = await getattr(self, f"_do_{what}")(*given)
            await orders.send(json.dumps(answer))

    async def _do_pulse(self, first, end):
        for number in range(first, end):
            self.pulsed.emit(number)

    async def _do_turned(self):
        return self.turned

    async def _do_kill(self):
        await self._hub.kill()

    async def _do_start(self):
        await self._hub.start()

    async def _do_drop(self):
        await self.directs[-1]._peer.close()  # no program is to do this

    async def _do_revoke(self):
        self._hub.store.credentials.revoke("user:owner")


async def test_past_a_hub_that_is_killed(tmp_path):
    async with HubProcess(tmp_path) as hub:
        valve = Valve(hub)
        async with served(valve, hub=hub), vitest(TESTS, hub, "-t", "past a hub that is killed") as telling:
            assert "1 passed" in await asyncio.wait_for(telling, WITHIN)
            assert valve.turned == 1


async def test_past_a_hub_that_is_there(tmp_path, monkeypatch):
    async with running_hub(tmp_path / "hub") as hub:
        valve = Valve(hub)
        begin = Direct.__init__

        def noted(self, *args, **options):
            begin(self, *args, **options)
            valve.directs.append(self)

        monkeypatch.setattr(Direct, "__init__", noted)
        async with served(valve, hub=hub), vitest(TESTS, hub, "-t", "past a hub that is there") as telling:
            assert "4 passed" in await asyncio.wait_for(telling, WITHIN)
        assert all(link.closed.is_set() for link in valve.links)
        assert isinstance(valve.links[-1].error, LinkLost)
        assert "taken back" in str(valve.links[-1].error)
