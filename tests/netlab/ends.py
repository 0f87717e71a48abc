"""What runs in the lab's places beside the house: Chromium, and coturn."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .lab import Place

ROOT = Path(__file__).parents[2]

CHROMIUM_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
)


class Chromium:
    """A Chromium in a place."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @asynccontextmanager
    async def context(self, **options: Any) -> AsyncIterator[Any]:
        """Give a context without a past; its options are playwright's."""
        context = await self._browser.new_context(**options)
        try:
            yield context
        finally:
            await context.close()


@asynccontextmanager
async def chromium(place: Place, folder: Path) -> AsyncIterator[Chromium]:
    """Start a Chromium in a place.

    Args:
        place: where.
        folder: for the script that starts it there.
    """
    script = folder / "chromium"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(place.enter())} chromium "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=script, headless=True, args=CHROMIUM_FLAGS)
        try:
            yield Chromium(browser)
        finally:
            await browser.close()


@asynccontextmanager
async def coturn(place: Place, folder: Path) -> AsyncIterator[list[dict[str, str]]]:
    """Run a STUN and TURN server on port 443 of a place, and return its addresses for each end."""
    ipv6 = place.run("ip", "-6", "-o", "addr", "show", "scope", "global").split()[3].split("/")[0]
    ips = (place.address, ipv6)
    lines = [f"{what}={ip}" for ip in ips for what in ("listening-ip", "relay-ip")]
    lines += [
        "listening-port=443",
        "no-tls",
        "no-dtls",
        "lt-cred-mech",
        "user=plait:secret",
        "realm=plait.test",
    ]
    lines += ["no-cli", "log-file=stdout", "allow-loopback-peers", f"userdb={folder}/users.db"]
    lines += [f"pidfile={folder}/turnserver.pid"]
    config = folder / "turnserver.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    process = await place.start(
        "turnserver", "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while f"{place.address}:443" not in place.run("ss", "-Hlnt"):  # noqa: ASYNC110 - another process tells nothing
                await asyncio.sleep(0.02)
        known = {"username": "plait", "credential": "secret"}
        hosts = (place.address, f"[{ipv6}]")
        yield [
            {"urls": f"stun:{place.address}:443"},
            *({"urls": f"turn:{host}:443{way}"} | known for host in hosts for way in ("", "?transport=tcp")),
        ]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
