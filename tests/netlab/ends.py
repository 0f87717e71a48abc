"""The two ends of a call as the tests drive them: our engine, or Chromium, each in a place of the lab."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .lab import Place

SETTLED = 5
"""How many half seconds a relayed path has to become a direct one."""

ROOT = Path(__file__).parents[2]

CHROMIUM_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
)


class End(Protocol):
    """What tells of candidates, its description, an open channel, the first picture, and its path."""

    told: asyncio.Queue[dict[str, Any]]

    async def do(self, what: str, **members: Any) -> None:
        """Tell it to do something."""


class EngineEnd:
    """Our engine, in a process of its own (`end.py`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._process = process

    async def do(self, what: str, **members: Any) -> None:
        """Tell it to do something."""
        self._process.stdin.write(json.dumps({"do": what} | members).encode() + b"\n")

    async def read(self) -> None:
        while line := await self._process.stdout.readline():
            self.told.put_nowait(json.loads(line))


@asynccontextmanager
async def engine(place: Place, servers: list[dict[str, str]]) -> AsyncIterator[EngineEnd]:
    """Start our engine in a place."""
    process = await place.start(
        *(sys.executable, str(Path(__file__).with_name("end.py")), json.dumps(servers)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
        stderr=asyncio.subprocess.DEVNULL,  # the engine logs servers that a place cannot reach
        env=dict(os.environ, PYTHONPATH=str(ROOT / "src")),
    )
    end = EngineEnd(process)
    reading = asyncio.create_task(end.read())
    try:
        assert (await asyncio.wait_for(end.told.get(), 20))["told"] == "ready"
        yield end
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading


SCRIPT = """
window.begin = (servers) => {
  window.pc = new RTCPeerConnection({ iceServers: servers });
  pc.onicecandidate = ({ candidate }) =>
    tell({ told: "candidate", candidate: candidate && candidate.toJSON() });
  pc.ontrack = (event) => {
    const video = document.createElement("video");
    video.muted = video.autoplay = video.playsInline = true;
    video.srcObject = new MediaStream([event.track]);
    video.requestVideoFrameCallback(() => tell({ told: "frame" }));
    document.body.append(video);
  };
};
window.offer = async () => {
  const channel = pc.createDataChannel("test");
  channel.onopen = () => tell({ told: "open" });
  pc.addTransceiver("video", { direction: "recvonly" });
  await pc.setLocalDescription();
  tell({ told: "description", sdp: pc.localDescription.sdp });
};
window.path = async () => {
  const report = await pc.getStats();
  const transport = [...report.values()].find((entry) => entry.type === "transport");
  const pair = report.get(transport.selectedCandidatePairId);
  const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
  tell({ told: "path", local, remote });
};
"""


class ChromiumEnd:
    """A page in a headless Chromium: the viewer."""

    def __init__(self, page: Any) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._page = page

    async def do(self, what: str, **members: Any) -> None:
        """Tell it to do something."""
        call = {
            "offer": "() => offer()",
            "answer": '(said) => pc.setRemoteDescription({ type: "answer", sdp: said.sdp })',
            "candidate": """(said) => said.candidate && pc.addIceCandidate(
                { candidate: said.candidate.candidate, sdpMLineIndex: 0 }).catch(() => {})""",
            "path": "() => path()",
        }[what]
        await self._page.evaluate(call, members)


class Chromium:
    """A Chromium in a place: started once, with a page for each call."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @asynccontextmanager
    async def context(self, **options: Any) -> AsyncIterator[Any]:
        """Give a context without a past; its options are playwright's."""
        context = await self._browser.new_context(**options)
        try:
            yield context
        finally:
            await context.close()

    @asynccontextmanager
    async def page(self, servers: list[dict[str, str]]) -> AsyncIterator[ChromiumEnd]:
        """Open a page, without a past."""
        async with self.context() as context:
            page = await context.new_page()
            end = ChromiumEnd(page)
            await page.expose_function("tell", end.told.put_nowait)
            await page.evaluate(f"() => {{ {SCRIPT} }}")
            await page.evaluate("(servers) => begin(servers)", servers)
            yield end


@asynccontextmanager
async def chromium(place: Place, folder: Path) -> AsyncIterator[Chromium]:
    """Start a Chromium in a place.

    Args:
        place: where.
        folder: for the script that starts it there.
    """
    script = folder / "chromium"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(place.enter())} chromium "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=script, headless=True, args=CHROMIUM_FLAGS)
        try:
            yield Chromium(browser)
        finally:
            await browser.close()


@asynccontextmanager
async def coturn(place: Place, folder: Path) -> AsyncIterator[list[dict[str, str]]]:
    """Run a STUN and TURN server on port 443 of a place, and return its addresses for each end."""
    ipv6 = place.run("ip", "-6", "-o", "addr", "show", "scope", "global").split()[3].split("/")[0]
    ips = (place.address, ipv6)
    lines = [f"{what}={ip}" for ip in ips for what in ("listening-ip", "relay-ip")]
    lines += [
        "listening-port=443",
        "no-tls",
        "no-dtls",
        "lt-cred-mech",
        "user=plait:secret",
        "realm=plait.test",
    ]
    lines += ["no-cli", "log-file=stdout", "allow-loopback-peers", f"userdb={folder}/users.db"]
    lines += [f"pidfile={folder}/turnserver.pid"]
    config = folder / "turnserver.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    process = await place.start(
        "turnserver", "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while f"{place.address}:443" not in place.run("ss", "-Hlnt"):  # noqa: ASYNC110 - another process tells nothing
                await asyncio.sleep(0.02)
        known = {"username": "plait", "credential": "secret"}
        hosts = (place.address, f"[{ipv6}]")
        yield [
            {"urls": f"stun:{place.address}:443"},
            *({"urls": f"turn:{host}:443{way}"} | known for host in hosts for way in ("", "?transport=tcp")),
        ]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def call(viewer: End, device: End, within: float) -> dict[str, Any]:
    """Have a viewer call a device.

    Returns:
        `open` and `frame`: seconds from the offer to an open channel, and to the first picture; `path`: the
        local and the remote candidate that the viewer uses.

    Raises:
        TimeoutError: not within so many seconds.
    """
    began = time.perf_counter()
    seen: dict[str, Any] = {}
    both = asyncio.Event()

    async def carry(of: End, to: End) -> None:
        while True:
            told = await of.told.get()
            match told["told"]:
                case "candidate":
                    await to.do("candidate", candidate=told["candidate"])
                case "description":
                    await to.do("accept" if of is viewer else "answer", sdp=told["sdp"])
                case "path":
                    seen["path"] = (told["local"], told["remote"])
                    both.set()
                case what:
                    seen.setdefault(what, time.perf_counter() - began)
                    if {"open", "frame"} <= seen.keys():
                        both.set()

    async with AsyncExitStack() as stack:
        for ends in ((viewer, device), (device, viewer)):
            task = asyncio.create_task(carry(*ends))
            stack.push_async_callback(asyncio.gather, task, return_exceptions=True)
            stack.callback(task.cancel)
        async with asyncio.timeout(within):
            await viewer.do("offer")
            await both.wait()
            # The first path that works is not always the last: a better one may follow within seconds.
            for _ in range(SETTLED):
                both.clear()
                await viewer.do("path")
                await both.wait()
                if "relay" not in [end["candidateType"] for end in seen["path"]]:
                    break
                await asyncio.sleep(0.5)
    return seen
