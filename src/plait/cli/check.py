"""`plait check`: try the whole line on this machine, and print a line with a figure for each part of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LIMIT = 25.0
"""Seconds that one line may take; the browser's is the longest."""

TURNS = 50
"""Round trips behind each median."""


class Line(msgspec.Struct, omit_defaults=True):
    """What one part of the line did. `ok` is None where it was left out, and `why` says why."""

    name: str
    ok: bool | None
    unit: str = ""
    value: float | None = None
    why: str = ""


class Household(msgspec.Struct):
    """The demo as it runs: `plait demo --json` says this when everything in it is online."""

    url: str
    login: str
    token: str


class LeftOutError(Exception):
    """Something that this line needs is not installed."""


@asynccontextmanager
async def _household() -> AsyncIterator[tuple[Household, float]]:
    """Start the demo's hub and devices, and give it with the seconds that it took to be ready."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "plait", "demo", "--json", "--port", "0",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        stdout, stderr = cast("tuple[asyncio.StreamReader, ...]", (process.stdout, process.stderr))
        line = await stdout.readline()
        if not line:
            told = (await stderr.read()).decode().strip().splitlines()
            raise RuntimeError(told[-1] if told else "it ended without a word")
        yield msgspec.json.decode(line, type=Household), time.perf_counter() - began
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGTERM)
        await process.communicate()


async def _engine() -> tuple[float, str]:
    from plait.rtc import PeerConnection

    async with PeerConnection() as one, PeerConnection() as other:
        one.on_ice_candidate = other.add_ice_candidate
        other.on_ice_candidate = one.add_ice_candidate
        began = time.perf_counter()
        channel = one.create_data_channel("check")
        await one.set_answer(await other.accept(await one.create_offer()))
        await channel.opened()
        return (time.perf_counter() - began) * 1000, "ms from offer to open channel"


async def _median(turn: Callable[[], Awaitable[Any]]) -> float:
    await turn()
    rounds = []
    for _ in range(TURNS):
        began = time.perf_counter()
        await turn()
        rounds.append((time.perf_counter() - began) * 1000)
    return statistics.median(rounds)


async def _command(home: Household) -> tuple[float, str]:
    from plait import app

    async with app.connect(home.url, token=home.token) as link:
        lamp = link.thing("Lamp")
        on = await lamp.read("on")
        if await lamp.write("on", not on) is on:
            raise RuntimeError("the lamp did not switch")
        await lamp.write("on", on)
        return await _median(lambda: lamp.read("on")), "ms from app to thing and back through the hub"


async def _channel(home: Household) -> tuple[float, str]:
    from plait import app

    async with app.connect(home.url, token=home.token) as link, link.thing("Camera").call() as call:
        channel = await call.channel("echo")
        messages = aiter(channel)

        async def turn() -> None:
            await channel.send(b"\0" * 100)
            await anext(messages)

        return await _median(turn), "ms there and back on a data channel"


async def _video(home: Household) -> tuple[float, str]:
    try:
        import av  # noqa: F401 - is it there?
    except ImportError:
        raise LeftOutError("the extra `media` is not installed (pip install 'plait[media]')") from None
    from plait import app

    async with app.connect(home.url, token=home.token) as link:
        began = time.perf_counter()
        async with link.thing("Camera").call() as call:
            async for _ in call.video():
                break
        return (time.perf_counter() - began) * 1000, "ms from call to first picture, in Python"


async def _browser(home: Household) -> tuple[float, str]:
    from plait.cli import chromium

    if chromium.find() is None:
        raise LeftOutError("Chromium is not installed (apt install chromium)")
    played = "document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames"
    async with chromium.opened(home.login) as page:
        await page.until(f"{played} > 0", within=LIMIT - 5)
        first, began = await page.evaluate(played), time.perf_counter()
        await asyncio.sleep(3)
        frames = await page.evaluate(played) - first
        rate = frames / (time.perf_counter() - began)
        if rate < 1:
            raise RuntimeError("the picture stands still")
        return rate, "frames a second, decoded by Chromium"


async def _try(name: str, trial: Awaitable[tuple[float, str]]) -> Line:
    try:
        async with asyncio.timeout(LIMIT):
            value, unit = await trial
    except LeftOutError as why:
        return Line(name, None, why=str(why))
    except TimeoutError:
        return Line(name, ok=False, why=f"nothing within {LIMIT:g} s")
    except Exception as why:  # noqa: BLE001 - whatever went wrong is what this command is for
        return Line(name, ok=False, why=f"{type(why).__name__}: {why}")
    return Line(name, ok=True, unit=unit, value=round(value, 3))


async def lines() -> AsyncIterator[Line]:
    """Try each part in turn, from the engine to the picture in a browser."""
    yield await _try("engine", _engine())
    trials = {"command": _command, "channel": _channel, "video": _video, "browser": _browser}
    try:
        async with _household() as (home, seconds):
            yield Line("hub", ok=True, unit="s until a hub and its devices are up", value=round(seconds, 2))
            for name, trial in trials.items():
                yield await _try(name, trial(home))
    except (RuntimeError, OSError, msgspec.DecodeError) as why:
        yield Line("hub", ok=False, why=str(why))


async def _run(as_json: bool) -> bool:
    console = Console(highlight=False)
    marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]-[/]"}
    found: list[Line] = []
    async for line in lines():
        found.append(line)
        if not as_json:
            figure = f"[bold]{line.value:g}[/] {line.unit}" if line.value is not None else line.why
            console.print(f"{marks[line.ok]} {line.name:<9}{figure}")
    well = all(line.ok is not False for line in found)
    if as_json:
        print(json.dumps({"ok": well, "lines": msgspec.to_builtins(found)}))
    return well


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Try the whole line on this machine: engine, hub, command, data channel, video, browser."""
    if not asyncio.run(_run(as_json)):
        raise typer.Exit(1)
