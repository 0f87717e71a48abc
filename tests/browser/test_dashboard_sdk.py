"""The TypeScript SDK, in Node, against a hub and things in Python: two implementations of one protocol."""

import asyncio
import json
import os
import shutil
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from plait import app
from plait.gallery import household

WEB = Path(__file__).parents[2] / "web"
SMALL = [household.LAMP, household.THERMOMETER]

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        shutil.which("node") is None or not (WEB / "node_modules" / "vitest").is_dir(),
        reason="needs Node, and npm ci in web/",
    ),
]


@asynccontextmanager
async def process(*command, **environment):
    started = await asyncio.create_subprocess_exec(
        *command,
        cwd=WEB, env=os.environ | environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.terminate()
        await started.communicate()


async def test_the_sdk_understands_the_hub(tmp_path):
    async with AsyncExitStack() as stack:
        python = [sys.executable, "-m"]
        hub = await stack.enter_async_context(
            process(*python, "plait.cli.demo_hub", "--port=0", f"--data={tmp_path}", *SMALL)
        )
        while not (line := await asyncio.wait_for(hub.stdout.readline(), 30)).startswith(b"{"):
            assert line, "the hub ended"
        ready = json.loads(line)
        shared = {"PLAIT_HUB": ready["url"], "PLAIT_STATE": f"{tmp_path}/things"}
        await stack.enter_async_context(
            process(*python, "plait.gallery.household", **shared, PLAIT_TOKENS=json.dumps(ready["tokens"]))
        )
        async with app.connect(ready["url"], token=ready["token"]) as home, asyncio.timeout(30):
            for thing in SMALL:
                await (await home.wait_for(thing)).online()
        vitest = await stack.enter_async_context(
            process(
                "node", "node_modules/vitest/vitest.mjs", "run", "sdk/tests/real.test.ts",
                PLAIT_HUB=ready["url"], PLAIT_TOKEN=ready["token"], NO_COLOR="1",
            )
        )  # fmt: skip
        words, _ = await asyncio.wait_for(vitest.communicate(), 90)
    assert vitest.returncode == 0, words.decode()
    assert "5 passed" in words.decode()
