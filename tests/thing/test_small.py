"""A thing without media is small: at most 40 MiB resident, with margin."""

import asyncio
import os
import sys

import psutil
import pytest

from plait.testing import running_hub

LIMIT = 36 << 20
"""Bytes: a tenth below what is promised (40 MiB); measured 29 to 31 MiB."""

THING = """
import sys
from plait.thing import Thing, action, prop

class Meter(Thing):
    level: int = prop(0)

    @action
    async def reset(self) -> None:
        self.level = 0

Meter("urn:dev:meter").run(folder=sys.argv[1] if len(sys.argv) > 1 else None)
"""


@pytest.mark.parametrize("spooled", [False, True])
async def test_a_thing_without_media_is_small(tmp_path, spooled):
    script = tmp_path / "meter.py"
    script.write_text(THING)
    async with running_hub(tmp_path / "hub") as hub:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), *([str(tmp_path)] if spooled else [])),
            env={**os.environ, "PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token("urn:dev:meter")},
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            assert b"is online" in await process.stderr.readline()
        resident = psutil.Process(process.pid).memory_info().rss
        process.terminate()
        await process.communicate()
    assert resident < LIMIT
