"""The engine beside aiortc and wrtc (Chrome's libwebrtc), each in two processes on this machine.

Hot paths:
- throughput of a reliable, ordered channel with messages of 64 and 16 KiB, the ends joined directly, and
  through a path of 5 and of 30 ms of round trip; to the receiver's word that all have come;
- CPU seconds a GB, of both processes together, for 64 KiB joined directly;
- 100 bytes there and back, one at a time; and from the start of `create_offer` to the open channel;
- the memory that an idle end adds to a process with 40 of them (RssAnon, after a first connection);
- the age of messages of 100 bytes, 1,000 a second, over a path of 20 ms one way that loses 5 %, on an
  unreliable channel and on a reliable one (`_lossy.py`);
- the sender's share of a core for 720p30 H.264 that is encoded already, 2 Mbit/s;
- viewers of one 720p30 stream of 1 Mbit/s that a core forwards to: the line through the relay's processor
  time at 1, 10, 50, 100 and 300 viewers, none of which loses 0.1 %, up to 90 % of a core (`_forward.py`).
  Beyond 300 it is extrapolated: the viewers themselves would need more than the other core.

The delayed path is a process that relays UDP (`_delay.py`), as not every kernel has netem: it takes a share
of the same cores, the same for every library.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from typing import Any

from benchmarks import _forward, _lossy
from benchmarks.channel import MODULES, installed, measure, said, started, tell
from benchmarks.figures import Report, versions

PEERS = 40
SIZES = (65536, 16384)
PATHS = {"5ms": 0.005, "30ms": 0.03}


async def _channels(name: str, seconds: float, trips: int) -> dict[str, float]:
    """Take every figure of a data channel once."""
    direct = await measure(MODULES[name], seconds, trips, SIZES)
    figures = {
        "mb_s_64k": direct["mb_s"][0],
        "mb_s_16k": direct["mb_s"][1],
        "cpu_s_per_gb": direct["cpu_s_per_gb"][0],
        "rtt_p50": direct["rtt_p50"],
        "rtt_p99": direct["rtt_p99"],
        "open_ms": direct["open_ms"],
    }
    for path, round_trip in PATHS.items():
        delayed = await measure(MODULES[name], seconds, 0, SIZES, round_trip=round_trip)
        figures[f"mb_s_64k_{path}"], figures[f"mb_s_16k_{path}"] = delayed["mb_s"]
    return figures


async def _idle(name: str) -> float:
    async with started("benchmarks._idle_peers", name, str(PEERS)) as process:
        return float(await said(process))


async def _passthrough(name: str, seconds: float) -> float:
    """Return the sender's share of a core, after a look at what arrived."""
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(started("benchmarks._passthrough", "receive"))
        sender = await stack.enter_async_context(started("benchmarks._passthrough", name, str(seconds)))
        await tell(receiver, await said(sender))
        await tell(sender, await said(receiver))
        result = await said(sender)
        await tell(receiver, "count")
        arrived = await said(receiver)
        if arrived < result["frames"] * 0.95:
            raise RuntimeError(f"{arrived} of {result['frames']} pictures arrived")
    return float(result["cpu"])


class _Taken:
    """The values of all rounds, by figure and library, and what failed."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = {}
        self.failed: dict[str, str] = {}

    def keep(self, name: str, figures: dict[str, float]) -> None:
        for figure, value in figures.items():
            self.values.setdefault(figure, {}).setdefault(name, []).append(value)


async def _round(taken: _Taken, names: list[str], seconds: float, trips: int) -> None:
    async def attempt(name: str, what: str, work: Any) -> None:
        try:
            taken.keep(name, await work)
        except (RuntimeError, TimeoutError) as error:
            taken.failed[f"{what} of {name}"] = str(error) or "nothing within 60 s"

    async def single(figure: str, work: Any) -> dict[str, float]:
        return {figure: await work}

    for name in names:
        await attempt(name, "channels", _channels(name, seconds, trips))
    for name in names:
        if name != "wrtc":
            await attempt(name, "idle", single("kb_per_idle_peer", _idle(name)))
            await attempt(name, "passthrough", single("passthrough_cpu", _passthrough(name, 2 * seconds)))


UNITS = {
    "mb_s_64k": "MB/s",
    "mb_s_16k": "MB/s",
    "mb_s_64k_5ms": "MB/s",
    "mb_s_16k_5ms": "MB/s",
    "mb_s_64k_30ms": "MB/s",
    "mb_s_16k_30ms": "MB/s",
    "cpu_s_per_gb": "s/GB",
    "rtt_p50": "us",
    "rtt_p99": "us",
    "open_ms": "ms",
    "kb_per_idle_peer": "KiB",
    "passthrough_cpu": "share of a core",
}


async def _forwarding(report: Report, *, quick: bool) -> None:
    viewers: list[float] = []
    slopes: list[float] = []
    try:
        for _ in range(1 if quick else 3):
            results = await _forward.measure(*((1.5, (10, 100)) if quick else (4.0,)))
            reached, slope = _forward.capacity(results)
            viewers.append(reached)
            slopes.append(slope * 1e3)
    except (RuntimeError, TimeoutError) as error:
        report.lacks("engine.forward_viewers_per_core", str(error) or "nothing within 60 s")
        return
    report.add("engine.forward_viewers_per_core", "viewers", viewers)
    report.add("engine.forward_cpu_per_viewer", "ms/s", slopes)
    shares = ", ".join(f"{result['viewers']:.0f}: {result['cpu']:.3f}" for result in results)
    report.notes.append(f"forwarding, share of a core by viewers (last round): {shares}")
    most = max(result["viewers"] for result in results if _forward.serves(result))
    report.notes.append(f"forwarding is extrapolated from what was measured with up to {most:.0f} viewers")


async def _lossy_path(report: Report, *, quick: bool) -> None:
    ages: dict[str, list[float]] = {}
    try:
        for _ in range(1 if quick else 5):
            for name, value in (await _lossy.ages(2.0 if quick else 10.0)).items():
                ages.setdefault(name, []).append(value)
    except (RuntimeError, TimeoutError) as error:
        report.lacks("engine.unreliable_age_p99", str(error) or "nothing within 60 s")
        return
    for name, values in ages.items():
        report.add(f"engine.{name}", "ms", values)
    times = statistics.median(ages["unreliable_age_p99"]) / 1e3 / _lossy.DELAY
    report.notes.append(f"the unreliable channel's p99 age is {times:.2f} times the path's delay")


async def _run(*, quick: bool) -> Report:
    report = Report(versions=versions("aiortc", "wrtc"))
    names = installed()
    taken = _Taken()
    for _ in range(1 if quick else 5):
        await _round(taken, names, *((0.5, 500) if quick else (2.0, 2000)))
    for figure, unit in UNITS.items():
        values = taken.values.get(figure, {})
        ours = values.pop("plait", None)
        if ours is None:
            report.lacks(f"engine.{figure}", "; ".join(taken.failed.values()) or "not taken")
        else:
            report.add(f"engine.{figure}", unit, ours, peers=values)
    await _forwarding(report, quick=quick)
    await _lossy_path(report, quick=quick)
    report.notes += [f"{what} failed: {why}" for what, why in taken.failed.items()]
    report.notes += [
        f"{name} is not installed (make setup-bench)" for name in ("aiortc", "wrtc") if name not in names
    ]
    return report


def run(quick: bool) -> Report:
    """Take the figures."""
    return asyncio.run(_run(quick=quick))
