"""Data channels: engine to engine, in two processes on loopback, beside aiortc in the same rounds.

Hot paths: a reliable, ordered channel that carries 64 KiB messages as fast as `await send()` lets it, from
the first message to the receiver's word that all have come; and a message of 100 bytes there and back, one
at a time. CPU seconds a GB (both processes together) are printed beside them.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from typing import Any

from benchmarks.figures import Report, versions

MODULES = {"plait": "benchmarks._channel_plait", "aiortc": "benchmarks._channel_aiortc"}


async def _start(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )


async def _line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    if not line:
        raise RuntimeError(f"a process ended early, with code {await process.wait()}")
    return json.loads(line)


async def _tell(process: asyncio.subprocess.Process, value: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(value).encode() + b"\n")
    await process.stdin.drain()


async def measure(module: str, seconds: float, trips: int) -> dict[str, float]:
    """Run both ends once; returns MB/s, the median round trip in µs, and CPU seconds a GB."""
    sender = await _start(module, "send", str(seconds), str(trips))
    receiver = await _start(module, "receive")
    try:
        await _tell(receiver, await _line(sender))
        await _tell(sender, await _line(receiver))
        result: dict[str, float] = await _line(sender)
        result["cpu_s"] += (await _line(receiver))["cpu_s"]
        await asyncio.wait_for(asyncio.gather(sender.wait(), receiver.wait()), 20)
    finally:
        for process in (sender, receiver):
            if process.returncode is None:
                process.kill()
                await process.wait()
    return {
        "mb_s": result["bytes"] / result["seconds"] / 1e6,
        "rtt_p50": result["rtt_p50"] * 1e6,
        "cpu_s_per_gb": result["cpu_s"] / result["bytes"] * 1e9,
    }


async def _run(*, quick: bool) -> Report:
    report = Report(versions=versions("plait", "aiortc"))
    names = [name for name in MODULES if name == "plait" or importlib.util.find_spec(name)]
    rounds = 3 if quick else 7
    seconds, trips = (1.0, 500) if quick else (3.0, 2000)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            taken[name].append(await measure(MODULES[name], seconds, trips))
    for figure, unit in (("mb_s", "MB/s"), ("rtt_p50", "us"), ("cpu_s_per_gb", "s/GB")):
        values = {name: [one[figure] for one in taken[name]] for name in names}
        ours = values.pop("plait")
        report.add(f"channel.{figure}", unit, ours, peers=values)
    if "aiortc" not in names:
        report.notes.append("aiortc is not installed (make setup-bench), so there is no peer")
    return report


def run(quick: bool) -> Report:
    """Take the figures."""
    return asyncio.run(_run(quick=quick))
