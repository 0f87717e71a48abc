"""A link between an app and a thing, two processes, through a real hub, while everything under it is killed.

Hot paths: `wire.link` on both ends, the hub's relaying, the data channel; and how soon a link moves over.
Messages of 100 bytes go both ways all the time, numbered and dated, over four links of one session at once
(a link whose direct path keeps breaking trusts it less each time, for up to a minute: one alone would take a
quarter of an hour). What is killed: the TCP connections of both ends to the hub, cut in a cable between,
without a goodbye; the direct path, in turn closed as by a peer that goes, and turned into a hole that
swallows what is sent both ways, as a network does; and the hub, by SIGKILL.

`recover` is the time from a kill of the direct path that carries the link to the arrival of the first
message that was sent after it, the hub being there. `overhead` is what a message of 100 bytes costs beside
its payload where it goes alone. `latest_age` is told of in `_latest.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _latest
from benchmarks._link import ROBOT, SIZE, Flow
from benchmarks.figures import Report, versions
from plait import app
from plait.testing import Cable, HubProcess
from plait.wire import link as wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plait.link import Link
    from plait.link.paths import Carrier
    from plait.wire.link import Lane

WITHIN = 90.0
"""Seconds within which a path must come, longer than the longest that one which failed is left aside."""

RATE = 500.0
"""Messages a second, each way on each link."""

STEADY = 1.0
"""Seconds between what is killed."""


class _Hole:
    """Takes the place of a direct path that swallows everything."""

    def __init__(self, lanes: tuple[Lane, ...]) -> None:
        self.lanes = lanes

    def room(self, _: Lane) -> bool:
        return True

    def send(self, _: Lane, packet: bytes) -> None:
        """Lose it."""


class _End:
    """The app's end of one link, and what is done to it."""

    def __init__(self, opener: Any, link: Link) -> None:
        self.link = link
        self.control = link.channel("control", priority=200)
        self.flow = Flow(link.channel("flow"), RATE)
        self.flow.on_message = self._came
        self._opener = opener
        self._killed: float | None = None
        self._flows = asyncio.Event()
        self._news = asyncio.Event()
        self._swallows = False
        self._receive, link.receive = link.receive, self._arrived  # type: ignore[method-assign] # the hole
        link.on_path = lambda _: self._news.set()

    def _arrived(self, name: str, packet: bytes) -> None:
        if not (self._swallows and name == "direct"):
            self._receive(name, packet)

    def _came(self, sent: float) -> None:
        if self._killed is not None and sent > self._killed:
            self.recovered, self._killed = time.monotonic() - self._killed, None
            self._flows.set()

    async def on(self, path: str) -> None:
        """Wait until this path carries the link."""
        async with asyncio.timeout(WITHIN):
            while self.link.path.name != path:
                self._news.clear()
                await self._news.wait()

    async def kill_direct(self, *, silently: bool) -> float | None:
        """Kill the path that carries the link; return the milliseconds until messages flow again.

        None where another path carries it, and nothing was killed.
        """
        if self.link.path.name != "direct":
            return None
        self._flows.clear()
        known = self.link._paths._known["direct"]  # noqa: SLF001 - no program is to do this
        peer = self._opener._direct._peer  # noqa: SLF001 - nor this
        self._killed = time.monotonic()
        if silently and known.carrier is not None:
            self._swallows = True
            hole: Carrier = _Hole(known.carrier.lanes)
            known.carrier = hole
        else:
            await peer.close()
        async with asyncio.timeout(WITHIN):
            await self._flows.wait()
        if silently:
            await peer.close()  # the network tells in the end; another connection is made then
            self._swallows = False
        return self.recovered * 1e3


@contextlib.asynccontextmanager
async def _robot(url: str, token: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks._link", url, token, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def _upgrade(robot: app.ThingProxy) -> float:
    """Open a link; return the milliseconds until it is direct."""
    direct = asyncio.Event()
    began = time.perf_counter()
    async with robot.link() as link:
        link.on_path = lambda choice: direct.set() if choice.name == "direct" else None
        if link.path.name != "direct":
            async with asyncio.timeout(WITHIN):
                await direct.wait()
        return (time.perf_counter() - began) * 1e3


class _Killing:
    """What is done to some links, and how soon they flowed again (milliseconds)."""

    def __init__(self, hub: HubProcess, cable: Cable, ends: list[_End]) -> None:
        self.closed: list[float] = []
        self.silent: list[float] = []
        self._hub = hub
        self._cable = cable
        self._ends = ends
        # One at a time: what is killed while the hub is away measures the hub's return.
        self._turn = asyncio.Lock()

    async def directs(self, end: _End, count: int) -> None:
        """Kill the direct path of a link so many times."""
        number = 0
        while number < count:
            await end.on("direct")
            await asyncio.sleep(STEADY)
            async with self._turn:
                took = await end.kill_direct(silently=number % 2 == 0)
            if took is not None:
                (self.closed if number % 2 else self.silent).append(took)
                number += 1

    async def websockets(self, count: int, restarts: int) -> None:
        """Cut the TCP connections so many times, and kill the hub in between."""
        at = {count * (each + 1) // (restarts + 1) for each in range(restarts)}
        for number in range(count):
            await asyncio.sleep(STEADY)
            async with self._turn:
                self._cable.cut()
                await self._back()
            if number in at:
                async with self._turn:
                    await self._hub.kill()
                    await asyncio.sleep(STEADY)
                    await self._hub.start()
                    await self._back()

    async def _back(self) -> None:
        await asyncio.sleep(0.1)
        async with asyncio.timeout(WITHIN):
            while not all(end.link.is_open("hub") for end in self._ends):  # noqa: ASYNC110 - none tells
                await asyncio.sleep(0.02)


async def _torture(
    report: Report, folder: Path, *, rounds: int, links: int, kills: int, restarts: int, least: int
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(HubProcess(folder))
        cable = await stack.enter_async_context(Cable(hub.port))
        url = cable.url
        await stack.enter_async_context(_robot(url, hub.token(ROBOT)))
        home = await stack.enter_async_context(app.connect(url, token=hub.user_token()))
        robot = await home.wait_for(ROBOT, timeout=20)
        await robot.online(timeout=20)
        report.add("link.upgrade_ms", "ms", [await _upgrade(robot) for _ in range(rounds)])

        ends = []
        for _ in range(links):
            opener = robot.link()
            ends.append(_End(opener, await stack.enter_async_context(opener)))
            await ends[-1].control.send(str(RATE))
        flows = [asyncio.create_task(work) for end in ends for work in (end.flow.send(), end.flow.receive())]
        killing = _Killing(hub, cable, ends)
        await asyncio.gather(
            killing.websockets(kills, restarts), *(killing.directs(end, kills // links) for end in ends)
        )
        while sum(end.flow.sent for end in ends) < least:  # noqa: ASYNC110 - a count, of which nobody tells
            await asyncio.sleep(0.1)
        _add(report, await _ended(ends, flows))
    took = killing.closed + killing.silent
    report.add("link.recover_ms_p50", "ms", [statistics.median(took)])
    report.add("link.recover_ms_p99", "ms", [_percentile(took, 0.99)])
    report.add("link.recover_closed_ms", "ms", killing.closed)
    report.add("link.recover_silent_ms", "ms", killing.silent)
    report.notes.append(
        f"{links} links; killed: the WebSockets of both ends {kills} times, direct paths"
        f" {len(took)} times ({len(killing.silent)} silently), the hub {restarts} times"
    )


async def _ended(ends: list[_End], flows: list[asyncio.Task[None]]) -> list[dict[str, int]]:
    """Stop both ends; return the tally of each, the far end's after ours."""
    tallies = []
    for end in ends:
        end.flow.stop.set()
        await end.control.send("stop")
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*flows)
    for end in ends:
        async with asyncio.timeout(WITHIN):
            theirs = json.loads(await end.control.receive())
        await end.control.send("read")
        ours = end.flow.tally()
        ours["lost"], theirs["lost"] = theirs["sent"] - ours["distinct"], ours["sent"] - theirs["distinct"]
        tallies += [ours, theirs]
    return tallies


def _add(report: Report, tallies: list[dict[str, int]]) -> None:
    for name in ("lost", "doubled", "out_of_order"):
        report.add(f"link.{name}", "messages", [sum(each[name] for each in tallies)])
    report.add("link.messages_up", "messages", [sum(each["sent"] for each in tallies[::2])])
    report.add("link.messages_down", "messages", [sum(each["sent"] for each in tallies[1::2])])


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _overhead(report: Report, *, rounds: int, count: int) -> None:
    """What `wire.link` adds by itself: bytes of a message that goes alone, CPU of both ends together."""
    payload = bytes(SIZE)
    times = []
    beside: list[float] = []
    for _ in range(rounds):
        here, there = wire.Link(), wire.Link()
        for end in (here, there):
            end.open("flow")
        began = time.process_time()
        for number in itertools.count():
            here.send("flow", payload, now=0.0)
            packet = here.poll(0.0)
            assert packet is not None
            there.receive(packet)
            there.took("flow", SIZE)
            answer = there.poll(0.0)
            assert answer is not None
            here.receive(answer)
            if number == count:
                break
        times.append((time.process_time() - began) / count * 1e6)
        beside.append(len(packet) - SIZE)
    report.add("link.overhead_bytes", "bytes", beside)
    report.add("link.overhead_cpu_us", "us", times)


def run(quick: bool) -> Report:
    """Take the figures."""
    report = Report(versions=versions("picows", "msgspec"))
    _overhead(report, rounds=3 if quick else 7, count=5_000)
    amounts: dict[str, int] = (
        {"rounds": 5, "links": 2, "kills": 4, "restarts": 1, "least": 5_000}
        if quick
        else {"rounds": 20, "links": 4, "kills": 20, "restarts": 2, "least": 100_000}
    )
    with tempfile.TemporaryDirectory(prefix="plait-bench-") as folder:
        asyncio.run(_torture(report, Path(folder), **amounts))
    try:
        ages = asyncio.run(_latest.ages(rounds=1 if quick else 5, seconds=5.0 if quick else 20.0))
    except (OSError, RuntimeError) as error:  # no root, no nftables
        report.lacks("link.latest_age_ms_p99", str(error))
    else:
        peers = {"over the WebSocket": ages["hub"]}
        report.add("link.latest_age_ms_p99", "ms", ages["direct"], peers=peers)
    return report
