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
from typing import TYPE_CHECKING, Any, Protocol

from plait.media import STREET

from .ends import ROOT, chromium
from .lab import CLEAR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from playwright.async_api import BrowserContext, Page

    from .lab import Lab, Place, Way

CAMERA = "urn:dev:camera"
PORT = 443
IPV6 = "IPv6"
CALL_WITHIN = 60.0


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


class Caller(Protocol):
    """Who calls the camera."""

    async def call(self) -> dict[str, Any]:
        """Call once; see `caller.py` for what it returns."""


class ProgramCaller:
    """A Python program (`caller.py`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def call(self) -> dict[str, Any]:
        """Call once."""
        self._process.stdin.write(b"call\n")
        return json.loads(await asyncio.wait_for(self._process.stdout.readline(), CALL_WITHIN))


class BrowserCaller:
    """Chromium, with a page of its own for each call (`caller.js`).

    Args:
        context: has logged in.
        url: the hub's.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context = context
        self._url = url

    async def call(self) -> dict[str, Any]:
        """Call once."""
        page = await self._context.new_page()
        try:
            await page.goto(f"{self._url}/healthz")
            for script in (ROOT / "benchmarks" / "viewer.js", Path(__file__).with_name("caller.js")):
                await page.evaluate(f"() => {{ {script.read_text(encoding='utf-8')} }}")
            return await page.evaluate("(id) => measure(id, 35_000, 2_000)", CAMERA)
        finally:
            await page.close()


LOGIN = """async (code) => (await fetch("/api/login", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({code}),
})).status"""


class House:
    """Made by `house`.

    Attributes:
        hub, device, viewer: the places.
        ready: what the hub said: `url`, `login`, `token`, `tokens`.
    """

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        device: str,
        viewer: str,
        *,
        servers: list[dict[str, Any]] | None,
        way: Way,
    ) -> None:
        self.hub = lab.place("hub")
        self.device, self.viewer = (
            lab.place(name, "" if kind == IPV6 else kind, way, ipv6=kind == IPV6)
            for name, kind in (("device", device), ("viewer", viewer))
        )
        self.ready: dict[str, Any] = {}
        self._folder = folder
        self._servers = servers
        self._stack = AsyncExitStack()
        self._hub: asyncio.subprocess.Process | None = None

    async def start_hub(self) -> None:
        """Start the hub, on its old data and address where it ran before."""
        environment = {"PLAIT_HOST": "", "PLAIT_TLS_NAMES": json.dumps(self.hub.addresses)}
        if self._servers is not None:
            environment |= {"PLAIT_ICE_SERVERS": json.dumps(self._servers), "PLAIT_TURN": "off"}
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
            PLAIT_HUB=self.url(self.device), PLAIT_TOKEN=self.ready["tokens"][CAMERA],
            PLAIT_STATE=f"{self._folder}/things",
        )  # fmt: skip

    @asynccontextmanager
    async def watch(self, *, link: bool = False) -> AsyncIterator[Viewer]:
        """Have a Python program watch the camera, and with `link` take numbers over a link."""
        program = str(Path(__file__).with_name("viewer.py"))
        process = await self._start(
            self.viewer, program, CAMERA, *["link"] * link,
            PLAIT_HUB=self.url(self.viewer), PLAIT_TOKEN=self.ready["token"],
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
            await page.goto(f"{self.url(self.viewer)}/#{self.ready['login'].partition('#')[2]}")
            await page.get_by_test_id("house").wait_for(timeout=20_000)
            yield page

    def url(self, place: Place) -> str:
        """Return the hub's address as it is seen from a place."""
        ipv4, ipv6 = self.hub.addresses
        return f"https://[{ipv6}]:{PORT}" if ":" in place.address else f"https://{ipv4}:{PORT}"

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Caller]:
        """Have a Python program call the camera as often as it is told to."""
        process = await self._start(
            self.viewer, str(Path(__file__).with_name("caller.py")), CAMERA,
            PLAIT_HUB=self.url(self.viewer), PLAIT_TOKEN=self.ready["token"],
        )  # fmt: skip
        try:
            assert json.loads(await asyncio.wait_for(process.stdout.readline(), 60)) == {"ready": True}
            yield ProgramCaller(process)
        finally:
            await _end(process)

    @asynccontextmanager
    async def browser_caller(self) -> AsyncIterator[Caller]:
        """Have Chromium call it."""
        url = self.url(self.viewer)
        async with (
            chromium(self.viewer, self._folder) as browser,
            browser.context(ignore_https_errors=True) as context,
        ):
            page = await context.new_page()
            await page.goto(f"{url}/healthz")
            assert await page.evaluate(LOGIN, self.ready["login"].partition("#login=")[2]) == 200
            await page.close()
            yield BrowserCaller(context, url)

    async def _start(self, place: Place, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        shared = {"PYTHONPATH": f"{ROOT}/src", "PLAIT_CA": f"{self._folder}/hub/tls/root.crt"}
        process = await place.start(
            sys.executable, *arguments,
            stdin=asyncio.subprocess.PIPE,
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
    lab: Lab,
    folder: Path,
    device: str,
    viewer: str,
    servers: list[dict[str, Any]] | None = None,
    *,
    way: Way = CLEAR,
) -> AsyncIterator[House]:
    """Have a hub and a camera that is online.

    Args:
        lab: its networks.
        folder: for what they keep.
        device, viewer: the NAT that each is behind; "" for a public address, `IPV6` for IPv6 alone.
        servers: STUN and TURN, as W3C `RTCIceServer` objects, instead of the hub's own.
        way: the way out of device and viewer.
    """
    made = House(lab, folder, device, viewer, servers=servers, way=way)
    try:
        await made.start_hub()
        await made.start_camera()
        yield made
    finally:
        await made.close()


def now() -> float:
    """Return this machine's monotonic clock, which all of the lab's programs share, in seconds."""
    return time.monotonic()
