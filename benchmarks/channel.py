"""Data channels: engine to engine, in two processes on loopback, beside aiortc in the same rounds.

Hot paths: a reliable, ordered channel that carries 64 KiB messages as fast as `await send()` lets it, from
the first message to the receiver's word that all have come; and a message of 100 bytes there and back, one
at a time. CPU seconds a GB (both processes together) are printed beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import re
import statistics
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Report, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

MODULES = {
    "plait": "benchmarks._channel_plait",
    "aiortc": "benchmarks._channel_aiortc",
    "wrtc": "benchmarks._channel_wrtc",
}
HOST = re.compile(
    r"^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", re.IGNORECASE | re.MULTILINE
)


def installed() -> list[str]:
    """Return ours and the peers that are there, ours first."""
    return ["plait", *(name for name in ("aiortc", "wrtc") if importlib.util.find_spec(name))]


@contextlib.asynccontextmanager
async def started(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module in a process of its own; it is gone at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> Any:
    """Return the next JSON line of a process."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    if not line:
        raise RuntimeError(f"a process ended early, with code {await process.wait()}")
    return json.loads(line)


async def tell(process: asyncio.subprocess.Process, value: Any) -> None:
    """Write a JSON line to a process."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(value).encode() + b"\n")
    await process.stdin.drain()


def _address(sdp: str) -> tuple[str, int]:
    if (found := HOST.search(sdp)) is None:
        raise RuntimeError("an end has no IPv4 host candidate")
    return found[1], int(found[2])


async def _through(path: asyncio.subprocess.Process, sdp: str) -> str:
    """Return the description with one candidate: the path's port that stands for this end."""
    await tell(path, _address(sdp))
    host, port = await said(path)
    candidate = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host"
    lines = sdp.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("a=candidate:"))
    lines[first] = candidate
    kept = (line for line in lines if line == candidate or not line.startswith("a=candidate:"))
    return "\r\n".join(kept) + "\r\n"


async def measure(
    module: str, seconds: float, trips: int, sizes: Sequence[int] = (65536,), *, round_trip: float = 0.0
) -> dict[str, Any]:
    """Run both ends once.

    Args:
        module: that of both ends.
        seconds: how long messages of each size are sent.
        trips: how many round trips of 100 bytes are timed.
        sizes: bytes a message.
        round_trip: seconds that the path takes there and back; with 0 the ends are joined directly.

    Returns:
        `mb_s` and `cpu_s_per_gb` (a list, one a size), `rtt_p50` and `rtt_p99` (µs), `open_ms`.
    """
    async with contextlib.AsyncExitStack() as stack:
        sender = await stack.enter_async_context(
            started(module, "send", str(seconds), str(trips), *map(str, sizes))
        )
        receiver = await stack.enter_async_context(started(module, "receive"))
        await asyncio.gather(said(sender), said(receiver))
        await tell(sender, "go")
        offer = await said(sender)
        if not round_trip:
            await tell(receiver, offer)
            await tell(sender, await said(receiver))
        else:
            path = await stack.enter_async_context(started("benchmarks._delay", str(round_trip / 2)))
            await tell(receiver, await _through(path, offer))
            await tell(sender, await _through(path, await said(receiver)))
        result = await said(sender)
    runs = result["runs"]
    figures: dict[str, Any] = {
        "mb_s": [run["bytes"] / run["seconds"] / 1e6 for run in runs],
        "cpu_s_per_gb": [run["cpu_s"] / run["bytes"] * 1e9 for run in runs],
        "open_ms": result["open_s"] * 1e3,
    }
    if trips:
        figures["rtt_p50"] = statistics.median(result["trips"]) * 1e6
        figures["rtt_p99"] = statistics.quantiles(result["trips"], n=100)[98] * 1e6
    return figures


async def _run(*, quick: bool) -> Report:
    report = Report(versions=versions("plait", "aiortc"))
    names = [name for name in installed() if name != "wrtc"]
    rounds = 3 if quick else 7
    seconds, trips = (1.0, 500) if quick else (3.0, 2000)
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            taken[name].append(await measure(MODULES[name], seconds, trips))
    units = {"mb_s": "MB/s", "rtt_p50": "us", "cpu_s_per_gb": "s/GB"}
    for figure, unit in units.items():
        values = {name: [_first(one[figure]) for one in taken[name]] for name in names}
        ours = values.pop("plait")
        report.add(f"channel.{figure}", unit, ours, peers=values)
    if "aiortc" not in names:
        report.notes.append("aiortc is not installed (make setup-bench), so there is no peer")
    return report


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value)


def run(quick: bool) -> Report:
    """Take the figures."""
    return asyncio.run(_run(quick=quick))
