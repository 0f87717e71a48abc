"""A headless Chromium driven over its DevTools pipe: enough to open a page and ask it something.

Chrome DevTools Protocol, `--remote-debugging-pipe`: NUL-terminated JSON on file descriptors 3 and 4. Test
suites use playwright; this lets `plait check` look at a real page with nothing installed but Chromium itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,800",
)

# Puts the two pipe ends on 3 and 4, wherever they were, then becomes the browser.
_LAUNCHER = (
    "import os,sys;"
    "r,w=map(int,sys.argv[1:3]);"
    "os.dup2(r,30);os.dup2(w,31);os.dup2(30,3);os.dup2(31,4);"
    "os.closerange(5,64);os.execvp(sys.argv[3],sys.argv[3:])"
)


class PageError(Exception):
    """The browser, or the page in it, said no."""


def find() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab. Made by `opened`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._session: str | None = None
        self._last = 0

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        command: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._writer.write(json.dumps(command).encode() + b"\0")
        await self._writer.drain()
        while True:
            answer = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            if answer.get("id") != self._last:
                continue  # an event: nobody here listens to those
            if "error" in answer:
                raise PageError(f"{method}: {answer['error'].get('message')}")
            result: dict[str, Any] = answer["result"]
            return result

    async def open(self, url: str) -> None:
        """Open a page in a tab of its own."""
        target = await self._call("Target.createTarget", url=url)
        attached = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    async def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript in the page; a promise is awaited. Raises `PageError` where it throws."""
        result = await self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise PageError(str(result["exceptionDetails"].get("text", "the page threw")))
        return result["result"].get("value")

    async def until(self, expression: str, *, within: float) -> Any:
        """Ask until the answer is truthy, and return it. Raises `PageError` after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while True:
                    with suppress(PageError):  # the page may still be loading
                        if answer := await self.evaluate(expression):
                            return answer
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise PageError(f"not within {within:g} s: {expression}") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    """Start Chromium with a fresh profile, open `url`, and end it all on the way out."""
    path = find()
    if path is None:
        raise PageError("Chromium is not installed")
    loop = asyncio.get_running_loop()
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _LAUNCHER, str(to_read), str(from_write),
            path, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
            pass_fds=(to_read, from_write),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(to_read)
        os.close(from_write)
        reader = asyncio.StreamReader(limit=1 << 24)
        incoming, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_read, "rb", 0)
        )
        outgoing, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(to_write, "wb", 0)
        )
        page = Page(reader, asyncio.StreamWriter(outgoing, protocol, None, loop))
        try:
            await page.open(url)
            yield page
        finally:
            outgoing.close()
            incoming.close()
            await _end(process)
