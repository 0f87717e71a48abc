"""A command's way: app → hub → thing → hub → app, three processes on loopback, through both SDKs.

Hot paths: a read of a property (never journaled), and an action, which the hub journals with
synchronous=FULL before it hands it on and again before it answers. The value, input and output are 200 bytes
of JSON each. Beside them, in the same rounds: a bare picows echo of 200 bytes; and `commit_p50`, one of the
two commits that an action waits for, timed in the hub while those actions ran.

While the disk works both cores sleep, and a core that slept for 300 us answers later than one that was busy
just now: a bare echo takes half as long again. So the echo and the read are taken once more with a pause of a
commit before each, which is how the two legs of an action find their cores.

Where there are two cores, the hub and the echo's server have one, and those who ask and answer them the
other: every message crosses. Left alone, the system puts the two ends of the echo on one core and moves the
three of the read about, so that the two could not be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import picows

from benchmarks.figures import Report, versions
from plait import app
from plait.hub.contracts import Principal
from plait.hub.store.credentials import open_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

LAMP = "urn:dev:bench:lamp"
TEXT = "x" * 198  # 200 bytes with its quotes


class _Echoed(picows.WSListener):  # type: ignore[misc] # picows' classes have no types
    """The client's end of the echo."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, _: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT and self.came is not None:
            frame.get_payload_as_bytes()
            self.came.set_result(None)

    async def trip(self) -> None:
        self.came = asyncio.get_running_loop().create_future()
        self.transport.send(picows.WSMsgType.TEXT, b'"' + TEXT.encode() + b'"')
        await self.came


@contextlib.contextmanager
def _cores() -> Iterator[int | None]:
    """Keep this process, and what it starts, to one core; give another, if there is one, for servers."""
    before = os.sched_getaffinity(0) if sys.platform == "linux" else set()
    if len(before) < 2:
        yield None
        return
    ours, theirs, *_ = sorted(before)
    os.sched_setaffinity(0, {ours})
    try:
        yield theirs
    finally:
        os.sched_setaffinity(0, before)


@contextlib.asynccontextmanager
async def _process(*arguments: str, core: int | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})  # before it has threads: they inherit it
    try:
        yield process
    finally:
        process.terminate()
        await process.communicate()


async def _line(process: asyncio.subprocess.Process, start: bytes = b"") -> str:
    assert process.stdout is not None
    while True:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        if not line:
            raise RuntimeError("a process of the benchmark ended at once")
        if line.startswith(start):
            return line.decode().strip()


async def _commit(hub: asyncio.subprocess.Process) -> float:
    """Return the median time of the hub's commits since it was last asked, in microseconds."""
    assert hub.stdin is not None
    hub.stdin.write(b"\n")
    return float((await _line(hub, b"commit ")).split()[1])


async def _median(trip: Callable[[], Awaitable[Any]], count: int, *, pause: float = 0) -> float:
    """Return the median time of so many trips, with a pause before each in seconds, in microseconds."""
    times = []
    for _ in range(count):
        if pause:
            await asyncio.sleep(pause)
        began = time.perf_counter()
        await trip()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


async def _measure(report: Report, folder: Path, *, rounds: int, count: int) -> None:
    with open_credentials(folder / "hub") as credentials:
        lamp_token = credentials.make_token(Principal("thing", LAMP))
        user_token = credentials.make_token(Principal("user", "owner"))
    async with contextlib.AsyncExitStack() as stack:
        core = stack.enter_context(_cores())
        hub = await stack.enter_async_context(
            _process("-m", "benchmarks._hub", "--port", "0", "--data", str(folder / "hub"), core=core)
        )
        url = (await _line(hub, b"Plait hub on ")).rpartition(" ")[2]
        await stack.enter_async_context(_process("-m", "benchmarks._lamp", url, lamp_token))
        echo = await stack.enter_async_context(_process("-m", "benchmarks._echo", core=core))
        transport, echoed = await picows.ws_connect(_Echoed, f"ws://127.0.0.1:{await _line(echo)}/")
        stack.callback(transport.disconnect)
        home = await stack.enter_async_context(app.connect(url, token=user_token))
        lamp = await home.wait_for(LAMP, timeout=20)
        await lamp.online(timeout=20)
        commits = []
        trips: dict[str, Callable[[], Awaitable[Any]]] = {
            "echo": echoed.trip,
            "read": lambda: lamp.read("text"),
            "action": lambda: lamp.invoke("repeat", text=TEXT),
        }
        taken: dict[str, list[float]] = {name: [] for name in trips}
        rested: dict[str, list[float]] = {"echo": [], "read": []}
        for trip in trips.values():
            await _median(trip, count // 5)
        await _commit(hub)
        for _ in range(rounds):
            for name, trip in trips.items():
                taken[name].append(await _median(trip, count))
            commits.append(await _commit(hub))
            for name, times in rested.items():
                times.append(await _median(trips[name], count // 2, pause=commits[-1] / 1e6))
    peers = {"picows echo": taken["echo"]}
    after = {"picows echo after a pause": rested["echo"]}
    report.add("command.rtt_p50", "us", taken["read"], peers=peers)
    report.add("command.rested_rtt_p50", "us", rested["read"], peers=after)
    report.add("command.journaled_rtt_p50", "us", taken["action"], peers=peers | after)
    report.add("command.commit_p50", "us", commits)
    for kind, reads, echoes in (
        ("", taken["read"], taken["echo"]),
        (" after a pause", rested["read"], rested["echo"]),
    ):
        read, echo = (
            statistics.median(trip + 2 * commit for trip, commit in zip(trips, commits, strict=True))
            for trips in (reads, [5 * echo for echo in echoes])
        )
        report.notes.append(
            f"an action's two commits take {read:.0f} us together with a read{kind}, "
            f"{echo:.0f} with five echoes{kind}"
        )


def run(quick: bool) -> Report:
    """Take the figures."""
    report = Report(versions=versions("picows", "msgspec"))
    rounds, count = (5, 200) if quick else (9, 1000)
    with tempfile.TemporaryDirectory(prefix="plait-bench-") as folder:
        asyncio.run(_measure(report, Path(folder), rounds=rounds, count=count))
    return report
