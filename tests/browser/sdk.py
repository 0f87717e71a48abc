"""Tests of the TypeScript SDK that need a hub and things in Python."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plait.testing import AnyHub

WEB = Path(__file__).parents[2] / "web"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (WEB / "node_modules" / "vitest").is_dir(),
    reason="needs Node, and npm ci in web/",
)


@asynccontextmanager
async def vitest(name: str, hub: AnyHub, *arguments: str) -> AsyncIterator[asyncio.Task[str]]:
    """Run a file of the SDK's tests, and give what it says."""
    process = await asyncio.create_subprocess_exec(
        "node", "node_modules/vitest/vitest.mjs", "run", f"sdk/tests/{name}.test.ts", *arguments,
        cwd=WEB, stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.user_token(), "NO_COLOR": "1"},
    )  # fmt: skip

    async def told() -> str:
        words, _ = await process.communicate()
        return words.decode()

    telling = asyncio.create_task(told())
    try:
        yield telling
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await telling
