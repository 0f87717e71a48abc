"""What a small device's program costs: memory of a thing without media, and what `pip install plait` brings.

Hot path: none; a thing with one property and one action that is online and tells five readings a second.
Beside it the same with aiomqtt (QoS 1, a command topic subscribed). Each is a process of its own; the figures
are its proportional and resident set sizes (PSS, RSS) after five readings. Installed sizes are those of the
packages' own files on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks._broker import broker, there
from benchmarks.figures import Report, versions
from plait.testing import HubProcess

THING = """
import asyncio, sys
from plait.thing import Thing, action, prop

class Meter(Thing):
    level: int = prop(0, readonly=True)

    @action
    async def reset(self) -> None:
        self.level = 0

    async def main(self):
        for number in range(1000):
            self.level = number
            await asyncio.sleep(0.2)
            print(number, flush=True)

Meter("urn:dev:meter").run(folder=sys.argv[1] if len(sys.argv) > 1 else None)
"""

AIOMQTT = """
import asyncio, json, sys
import aiomqtt

async def main():
    async with aiomqtt.Client("127.0.0.1", int(sys.argv[1])) as client:
        await client.subscribe("meter/reset", qos=1)
        for number in range(1000):
            await client.publish("meter/level", json.dumps(number), qos=1)
            await asyncio.sleep(0.2)
            print(number, flush=True)

asyncio.run(main())
"""


async def _measured(folder: Path, source: str, *arguments: str, **environment: str) -> tuple[float, float]:
    """Return a process's PSS and RSS in MiB after its fifth line."""
    script = folder / "device.py"
    script.write_text(source)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            for _ in range(5):
                if not await process.stdout.readline():
                    raise RuntimeError(f"it ended with {await process.wait()}")
        return _sizes(process.pid)
    finally:
        process.kill()
        await process.communicate()


def _sizes(pid: int) -> tuple[float, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
    return sizes["Pss"], sizes["Rss"]


def installed(package: str = "plait") -> dict[str, float]:
    """Return what a package brings without extras, by name: MB of files."""
    sizes: dict[str, float] = {}
    waiting = [package]
    while waiting:
        name = waiting.pop()
        if name in sizes:
            continue
        found = metadata.distribution(name)
        sizes[name] = 0.0
        for file in found.files or ():
            if "__pycache__" not in file.parts:
                with contextlib.suppress(OSError):
                    sizes[name] += Path(str(file.locate())).stat().st_size / 1e6
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name.lower())
    return sizes


async def _all(rounds: int) -> Report:
    report = Report(versions=versions("aiomqtt"))
    plain, kept, peer = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with HubProcess(folder / "hub") as hub:
            environment = {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token("urn:dev:meter")}
            for number in range(rounds):
                plain.append(await _measured(folder, THING, **environment))
                kept.append(await _measured(folder, THING, str(folder / str(number)), **environment))
                if there():
                    with broker(folder) as port:
                        peer.append(await _measured(folder, AIOMQTT, str(port)))
    for place, unit in ((0, "pss"), (1, "rss")):
        peers = {"aiomqtt": [sizes[place] for sizes in peer]}
        report.add(f"small.{unit}_mib", "MiB", [sizes[place] for sizes in plain], peers=peers)
        report.add(f"small.{unit}_mib_with_folder", "MiB", [sizes[place] for sizes in kept], peers=peers)
    sizes = installed()
    sizes.pop("plait")
    report.add("small.dependencies_mb", "MB", [sum(sizes.values())])
    report.notes.append("brings " + ", ".join(f"{name} {size:.1f}" for name, size in sorted(sizes.items())))
    return report


def run(quick: bool) -> Report:
    """Take the figures."""
    return asyncio.run(_all(1 if quick else 5))
