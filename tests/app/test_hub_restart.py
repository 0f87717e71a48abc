"""A hub is killed and started again beneath a call: the picture goes on, and the call is the hub's again."""

from __future__ import annotations

import asyncio

from plait import app
from plait.media import STREET
from plait.testing import HubProcess, served
from plait.thing.camera import Camera

CAMERA = "urn:dev:camera"
WITHIN = 20


async def test_a_call_outlives_its_hub(tmp_path):
    camera = Camera(CAMERA, source=STREET, state=tmp_path)
    camera.look()
    async with (
        HubProcess(tmp_path / "hub") as hub,
        served(camera, hub=hub),
        app.connect(hub.url, token=hub.user_token()) as home,
        home.thing(CAMERA).call() as call,
        call.video(limit=100) as video,
    ):
        await asyncio.wait_for(anext(video), WITHIN)
        states = []
        home.on_state = states.append
        await hub.kill()
        await hub.start()
        async with asyncio.timeout(WITHIN):
            while "connected" not in states or not call._carried.is_set():
                await anext(video)
        assert not call.ended
        async with asyncio.timeout(WITHIN):
            echo = await call.channel("echo")  # its offer goes through the new hub
            await echo.send("still here")
            assert await anext(aiter(echo)) == "still here"
            await anext(video)
        assert call.peer.connection_state == "connected"
        assert camera.viewers == 1
