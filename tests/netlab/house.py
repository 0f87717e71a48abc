"""A hub, a camera and its viewers: processes, each in a place of its own, and the lab's networks between."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.media import STREET

from .ends import ROOT, chromium

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from playwright.async_api import Page

    from .lab import Lab, Place

CAMERA = "urn:dev:camera"
PORT = 8080


@dataclass(frozen=True)
class Seen:
    """One frame that the Python viewer was shown.

    Attributes:
        at: when, in seconds of this machine's monotonic clock.
        way, why: `Live.way` and `Live.why`.
    """

    at: float
    way: str
    why: str


@dataclass
class Viewer:
    """The Python viewer (`viewer.py`): what it was shown, and which numbers came over its link."""

    frames: list[Seen] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], Any], within: float = 30.0) -> None:
        """Wait until something holds of what it was shown."""
        try:
            async with asyncio.timeout(within), self.changed:
                await self.changed.wait_for(holds)
        except TimeoutError:
            last = self.frames[-3:]
            raise AssertionError(f"not within {within} s; {len(self.frames)} frames, last {last}") from None

    async def shown(self, way: str, *, after: float, within: float = 30.0) -> Seen:
        """Return the first frame of this kind after a moment, once it is there."""

        def found() -> Seen | None:
            return next((seen for seen in self.frames if seen.at > after and seen.way == way), None)

        await self.until(found, within)
        seen = found()
        assert seen is not None
        return seen

    def gap(self, since: float) -> float:
        """Return the longest time without a frame of video since a moment, up to the last."""
        times = [since, *(seen.at for seen in self.frames if seen.at > since and seen.way == "video")]
        return max((b - a for a, b in pairwise(times)), default=float("inf"))


class House:
    """Made by `house`.

    Attributes:
        hub, device, viewer: the places.
        ready: what the hub said: `url`, `login`, `token`, `tokens`.
    """

    def __init__(
        self, lab: Lab, folder: Path, device: str, viewer: str, servers: list[dict[str, Any]]
    ) -> None:
        self.hub = lab.place("hub")
        self.device = lab.place("device", device)
        self.viewer = lab.place("viewer", viewer)
        self.ready: dict[str, Any] = {}
        self._folder = folder
        self._servers = servers
        self._stack = AsyncExitStack()
        self._hub: asyncio.subprocess.Process | None = None

    async def start_hub(self) -> None:
        """Start the hub, on its old data and address where it ran before."""
        environment = {"PLAIT_HOST": self.hub.address, "PLAIT_ICE_SERVERS": json.dumps(self._servers)}
        self._hub = await self._start(
            self.hub, "-m", "plait.cli.demo_hub", f"--port={PORT}", f"--data={self._folder}/hub", CAMERA,
            **environment,
        )  # fmt: skip
        told = json.loads(await asyncio.wait_for(self._hub.stdout.readline(), 30))
        self.ready = told | {name: self.ready[name] for name in ("tokens", "token") if name in self.ready}

    async def stop_hub(self, *, kill: bool = True) -> None:
        """End the hub: by SIGKILL, or in good order."""
        self._hub.kill() if kill else self._hub.terminate()
        await self._hub.wait()

    async def start_camera(self) -> None:
        """Start the camera."""
        await self._start(
            self.device, str(Path(__file__).with_name("device.py")), STREET, CAMERA,
            PLAIT_HUB=self.ready["url"], PLAIT_TOKEN=self.ready["tokens"][CAMERA],
            PLAIT_STATE=f"{self._folder}/things",
        )  # fmt: skip

    @asynccontextmanager
    async def watch(self, *, link: bool = False) -> AsyncIterator[Viewer]:
        """Have a Python program watch the camera, and with `link` take numbers over a link."""
        program = str(Path(__file__).with_name("viewer.py"))
        process = await self._start(
            self.viewer, program, CAMERA, *["link"] * link,
            PLAIT_HUB=self.ready["url"], PLAIT_TOKEN=self.ready["token"],
        )  # fmt: skip
        viewer = Viewer()
        reading = asyncio.create_task(self._read(process, viewer))
        try:
            yield viewer
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await reading

    async def _read(self, process: asyncio.subprocess.Process, viewer: Viewer) -> None:
        while line := await process.stdout.readline():
            told = json.loads(line)
            async with viewer.changed:
                match told:
                    case {"number": number}:
                        viewer.numbers.append(number)
                    case {"state": state}:
                        viewer.states.append((told["at"], state))
                    case _:
                        viewer.frames.append(Seen(**told))
                viewer.changed.notify_all()

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Have Chromium show the camera's page."""
        async with (
            chromium(self.viewer, self._folder) as browser,
            browser.context(ignore_https_errors=True) as context,
        ):
            page = await context.new_page()
            await page.goto(self.ready["login"])
            await page.get_by_test_id("house").wait_for(timeout=20_000)
            yield page

    async def _start(self, place: Place, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        shared = {"PYTHONPATH": f"{ROOT}/src", "PLAIT_CA": f"{self._folder}/hub/tls/root.crt"}
        process = await place.start(
            sys.executable, *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if os.environ.get("PLAIT_LAB_LOUD") else asyncio.subprocess.DEVNULL,
            env=os.environ | shared | environment,
        )  # fmt: skip
        self._stack.push_async_callback(_end, process)
        return process

    async def close(self) -> None:
        """End all of it."""
        await self._stack.aclose()


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


@asynccontextmanager
async def house(
    lab: Lab, folder: Path, device: str, viewer: str, servers: list[dict[str, Any]] | None = None
) -> AsyncIterator[House]:
    """Have a hub and a camera that is online.

    Args:
        lab: its networks.
        folder: for what they keep.
        device, viewer: the NAT that each is behind.
        servers: STUN and TURN, as W3C `RTCIceServer` objects; none by default.
    """
    made = House(lab, folder, device, viewer, servers or [])
    try:
        await made.start_hub()
        await made.start_camera()
        yield made
    finally:
        await made.close()


def now() -> float:
    """Return this machine's monotonic clock, which all of the lab's programs share, in seconds."""
    return time.monotonic()
