"""A session that is lost is an event of the thing's own: which answers may not have been heard."""

from __future__ import annotations

import asyncio

from plait.testing import HubProcess, connected, served
from plait.thing import Thing, action, prop

WITHIN = 20


class Lock(Thing):
    """A lock."""

    locked: bool = prop(True)

    def __init__(self):
        super().__init__("urn:dev:lock")
        self.begun, self.go, self.lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.unheard = None

    @action
    async def unlock(self) -> bool:
        self.begun.set()
        await self.go.wait()
        self.locked = False
        return True

    def on_lost(self, unheard):
        self.unheard = [(told.operation, told.name, told.output) for told in unheard]
        self.lost.set()
        raise RuntimeError("what it raises harms nobody")


async def test_an_answer_that_the_hub_never_had_is_told(tmp_path):
    lock = Lock()
    async with HubProcess(tmp_path) as hub, served(lock, hub=hub), connected(hub) as home:
        asking = asyncio.create_task(home.thing("Lock").invoke("unlock"))
        await asyncio.wait_for(lock.begun.wait(), WITHIN)
        await hub.kill()
        lock.go.set()
        await hub.start()
        await asyncio.wait_for(lock.lost.wait(), WITHIN)
        assert lock.unheard == [("invokeaction", "unlock", True)]
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(WITHIN):  # it is told again all the same
            while (await home.thing("Lock").readings())["locked"].value is not False:  # noqa: ASYNC110 - on asking
                await asyncio.sleep(0.05)
