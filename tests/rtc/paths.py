"""Two peers whose only path to each other is a process that loses, doubles, delays and reorders datagrams."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from plait.rtc import SessionDescription

ROOT = Path(__file__).parents[2]
HOST = re.compile(r"^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host.*$", re.IGNORECASE)
WITHIN = 30


class BadPath:
    """The process between two peers; see `benchmarks/_impair.py`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def ask(self, *command):
        async with self._turn:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            await self._process.stdin.drain()
            line = await asyncio.wait_for(self._process.stdout.readline(), WITHIN)
        assert line, "the path's process ended"
        return json.loads(line)

    async def set(self, **impairment) -> None:
        await self.ask("set", impairment)

    async def through(self, description: SessionDescription) -> SessionDescription:
        """Return the description with one candidate: the port that stands for this end."""
        lines = description.sdp.splitlines()
        found = next(match for line in lines if (match := HOST.match(line)))
        host, port = await self.ask("end", found[1], int(found[2]))
        candidate = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host"
        first = next(number for number, line in enumerate(lines) if line.startswith("a=candidate:"))
        lines[first] = candidate
        kept = [line for line in lines if line == candidate or not line.startswith("a=candidate:")]
        return SessionDescription(description.type, "\r\n".join(kept) + "\r\n")

    async def join(self, offerer, answerer) -> None:
        """Negotiate through this path only, and connect."""
        answer = await answerer.accept(await self.through(await offerer.create_offer()))
        await offerer.set_answer(await self.through(answer))
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(offerer.connected(), answerer.connected())


@asynccontextmanager
async def bad_path(seed: int, **impairment):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks._impair", str(seed), cwd=ROOT, stdin=-1, stdout=-1
    )
    try:
        path = BadPath(process)
        await path.set(**impairment)
        yield path
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), WITHIN)
