"""How old is the newest value at the receiver, where a fifth of all packets is lost.

The thing, at a way out of 50 ms that loses 20 % each way (`tests/netlab`), sets the value of one key of a
`latest` channel 50 times a second; the app looks every 5 ms how long ago the one that it has was set
(CLOCK_MONOTONIC, which the lab's programs share). Once over the direct path, and once over the WebSocket.

`python -m benchmarks._latest thing|app direct|hub`, with PLAIT_HUB and PLAIT_TOKEN, is one of the two ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait import app
from plait.hub.contracts import Principal
from plait.hub.store.credentials import open_credentials
from plait.thing import Thing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plait.link import Link

ROBOT = "urn:dev:bench:pose"
WHEN = struct.Struct(">d")
DELAY, LOSS, EVERY, LOOK = 0.05, 20, 0.02, 0.005
WITHIN = 60.0


class Robot(Thing):
    """Tells where it is, all the time."""

    async def on_link(self, link: Link) -> None:
        """Set the pose until the link is over."""
        pose = link.values("pose")
        while True:
            pose.set("arm", WHEN.pack(time.monotonic()).ljust(100, b"."))
            await asyncio.sleep(EVERY)


async def _look(path: str, seconds: float) -> list[float]:
    """Return the ages, in seconds, of what an app has, looked at all the time on one path."""
    async with app.connect(os.environ["PLAIT_HUB"], token=os.environ["PLAIT_TOKEN"]) as home:
        robot = await home.wait_for(ROBOT, timeout=WITHIN)
        await robot.online(timeout=WITHIN)
        async with robot.link(direct=path == "direct") as link:
            pose = link.values("pose")
            async with asyncio.timeout(WITHIN):
                while "arm" not in pose.latest or link.stats()[path]["rtt"] is None:  # noqa: ASYNC110 - two events
                    await asyncio.sleep(0.05)
                await asyncio.sleep(1.0)  # the other end knows that path, too
            ages = []
            end = time.monotonic() + seconds
            while (now := time.monotonic()) < end:
                value = pose.latest["arm"]
                assert isinstance(value, bytes)
                ages.append(now - WHEN.unpack_from(value)[0])
                await asyncio.sleep(LOOK)
    return ages


async def ages(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the 99th percentiles of the age, in milliseconds, by path ("direct", "hub") and round.

    Raises:
        OSError, RuntimeError: there are no network namespaces here.
    """
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from netlab.lab import Lab, Way  # noqa: PLC0415 - it is the tests'

    taken: dict[str, list[float]] = {"direct": [], "hub": []}
    with Lab() as lab, tempfile.TemporaryDirectory(prefix="plait-bench-") as folder:
        places = {"hub": lab.place("hub"), "app": lab.place("app")}
        places["thing"] = lab.place("thing", "cone", Way(delay=DELAY, loss=LOSS))
        with open_credentials(Path(folder)) as credentials:
            tokens = {
                "thing": credentials.make_token(Principal("thing", ROBOT)),
                "app": credentials.make_token(Principal("user", "owner")),
            }
        url = f"http://{places['hub'].address}:8080"
        hub = {"PLAIT_HOST": places["hub"].address, "PLAIT_DATA": folder, "PLAIT_TLS": "off"}

        @contextlib.asynccontextmanager
        async def running(where: str, *arguments: str, **more: str) -> AsyncIterator[Any]:
            environment = {"PLAIT_HUB": url, "PLAIT_TOKEN": tokens.get(where, ""), **more}
            process = await places[where].start(
                *(sys.executable, "-m", *arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=1 << 24,
                env=os.environ | environment,
            )
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.communicate()

        async with running("hub", "plait", "hub", **hub) as process:
            await asyncio.wait_for(process.stdout.readline(), WITHIN)
            async with running("thing", "benchmarks._latest", "thing"):
                for _ in range(rounds):
                    for path, found in taken.items():
                        async with running("app", "benchmarks._latest", "app", path, str(seconds)) as end:
                            line = await asyncio.wait_for(end.stdout.readline(), 3 * WITHIN + seconds)
                        if not line:
                            raise RuntimeError(f"the app found no {path} path")
                        seen = sorted(json.loads(line))
                        found.append(seen[int(len(seen) * 0.99)] * 1e3)
    return taken


if __name__ == "__main__":
    if sys.argv[1] == "thing":
        Robot(ROBOT, title="Robot").run()
    else:
        print(json.dumps(asyncio.run(_look(sys.argv[2], float(sys.argv[3])))))
