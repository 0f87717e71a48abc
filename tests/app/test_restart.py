"""ICE restarts of a call, from either end, over a real hub: the picture goes on."""

from __future__ import annotations

import asyncio
import re

import pytest

from plait.media import STREET
from plait.rtc import PeerConnection
from plait.testing import connected, running_hub, served
from plait.thing.camera import Camera

CAMERA = "urn:dev:camera"
WITHIN = 15


class Watched(PeerConnection):
    """Remembers its descriptions, so that a test sees which credentials hold."""

    made: list[Watched]

    def __init__(self, **options):
        super().__init__(**options)
        self.fragments: list[str] = []
        Watched.made.append(self)

    async def create_offer(self, **options):
        return self._note(await super().create_offer(**options))

    async def accept(self, offer):
        return self._note(await super().accept(offer))

    def _note(self, description):
        self.fragments += re.findall(r"a=ice-ufrag:(\S+)", description.sdp)[:1]
        return description


@pytest.mark.parametrize("ends", [("app",), ("camera",), ("app", "camera")])
async def test_a_call_goes_on_over_an_ice_restart(tmp_path, monkeypatch, ends):
    Watched.made = []
    for module in ("plait.app.negotiation", "plait.thing.camera"):
        monkeypatch.setattr(f"{module}.PeerConnection", Watched)
    camera = Camera(CAMERA, source=STREET, state=tmp_path)
    camera.look()
    async with running_hub(tmp_path / "hub") as hub, served(camera, hub=hub), connected(hub) as home:
        async with home.thing(CAMERA).call() as call, call.video(limit=100) as video:
            await asyncio.wait_for(anext(video), WITHIN)
            viewer, shown = Watched.made
            before = {viewer.fragments[-1], shown.fragments[-1]}
            for end in ends:
                (viewer if end == "app" else shown).restart_ice()
            async with asyncio.timeout(WITHIN):
                while {viewer.fragments[-1], shown.fragments[-1]} & before or not (
                    viewer.signaling_state == shown.signaling_state == "stable"
                ):
                    await anext(video)
                for _ in range(30):
                    await anext(video)
            assert viewer.connection_state == shown.connection_state == "connected"
        await home.until(lambda: camera.viewers == 0)
