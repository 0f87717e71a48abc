"""`plait demo`: a hub and a small simulated household on this machine, and one link that logs in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from plait.cli.children import Child
from plait.wire.errors import PlaitError

if TYPE_CHECKING:
    from collections.abc import Callable

READY_WITHIN: Final = 30.0
"""Seconds for the hub to serve, and again for all devices to be online."""

HOST: Final = "127.0.0.1"


class DemoError(Exception):
    """The demo cannot run; the text says why in one line."""


def free_port(first: int) -> int:
    """Return `first`, or the next port after it that nobody listens on; 0 for any."""
    if first == 0:
        return 0
    for port in range(first, min(first + 100, 65_536)):
        with socket.socket() as probe:
            # As the hub binds: a port whose last owner has just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise DemoError(f"no free port from {first} on")


class Demo:
    """The processes of the demo.

    Args:
        port: the hub's; the next free one is taken where it is not free.
        data: the folder for everything that is kept.
        say: takes lines for people.
    """

    def __init__(self, port: int, data: Path, say: Callable[[str], None]) -> None:
        self._port = port
        self._data = data
        self._say = say
        self._children: list[Child] = []

    async def start(self) -> dict[str, str]:
        """Start everything; return the hub's `url`, a `login` link and a user's `token` when all is online.

        Raises:
            DemoError: a part of it did not come up.
        """
        from plait.gallery import household
        from plait.media import STREET

        ids = [household.CAMERA, household.LAMP, household.THERMOMETER]
        ready = await self._start_hub(ids)
        shared = {"PLAIT_HUB": ready["url"], "PLAIT_STATE": str(self._data / "things")}
        tokens = ready["tokens"]
        camera = self._child(
            "camera",
            ["plait", "camera", "--source", STREET, "--id", household.CAMERA, "--title", "Camera"],
            shared | {"PLAIT_TOKEN": tokens[household.CAMERA]},
        )
        small = self._child(
            "lamp and thermometer",
            ["plait.gallery.household"],
            shared | {"PLAIT_TOKENS": json.dumps({i: tokens[i] for i in ids[1:]})},
        )
        for child in (camera, small):
            await child.start()
        await self._all_online(ready, ids)
        return {name: ready[name] for name in ("url", "login", "token")}

    def _child(
        self, name: str, module: list[str], environment: dict[str, str], *, piped: bool = False
    ) -> Child:
        child = Child(
            name,
            [sys.executable, "-m", *module],
            environment=environment,
            log=self._data / f"{name.replace(' ', '-')}.log",
            piped=piped,
        )
        self._children.append(child)
        return child

    async def _start_hub(self, ids: list[str]) -> dict[str, Any]:
        self._port = free_port(self._port)
        hub = self._child(
            "hub",
            ["plait.cli.demo_hub", f"--port={self._port}", f"--data={self._data / 'hub'}", *ids],
            {},
            piped=True,
        )
        process = await hub.start()
        if process.stdout is None:
            raise DemoError("the hub has no output")
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN)
            ready: dict[str, Any] = json.loads(line)
        except (TimeoutError, ValueError):
            raise DemoError(f"the hub did not start: {hub.last_words() or 'no word from it'}") from None
        # A hub that is started again keeps its port, since devices and pages know it.
        port = urlsplit(ready["url"]).port
        hub.command = tuple(f"--port={port}" if each.startswith("--port=") else each for each in hub.command)
        return ready

    async def _all_online(self, ready: dict[str, Any], ids: list[str]) -> None:
        from plait import app

        try:
            async with asyncio.timeout(READY_WITHIN), app.connect(ready["url"], token=ready["token"]) as home:
                for thing in ids:
                    await (await home.wait_for(thing)).online()
        except (TimeoutError, PlaitError) as error:
            words = "; ".join(filter(None, (child.last_words() for child in self._children)))
            raise DemoError(f"not all devices came online: {words or error}") from None

    async def keep(self) -> None:
        """Start again what ends, until cancelled."""
        await asyncio.gather(*(child.keep(self._say) for child in self._children))

    async def stop(self) -> None:
        """End everything, the devices before the hub."""
        for child in reversed(self._children):
            await child.stop()


async def _run(port: int, data: Path, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    demo = Demo(port, data, lambda line: print(line, file=sys.stderr, flush=True))
    stopped = asyncio.create_task(stop.wait())
    started = asyncio.create_task(demo.start())
    keeping: asyncio.Task[None] | None = None
    try:
        await asyncio.wait({stopped, started}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            return
        ready = started.result()
        if as_json:
            print(json.dumps(ready), flush=True)
        else:
            print(f"\n  Your house is ready. This link logs in, once:\n\n    {ready['login']}\n")
            print("  Ctrl-C ends it.\n", flush=True)
        keeping = asyncio.create_task(demo.keep())
        await asyncio.wait({stopped, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
    finally:
        for task in (started, keeping, stopped):
            if task is not None:
                task.cancel()
        await asyncio.gather(
            *(task for task in (started, keeping) if task is not None), return_exceptions=True
        )
        await demo.stop()


def command(
    port: Annotated[int, typer.Option(help="The hub's port, or the next free one; 0: any.")] = 8080,
    data: Annotated[Path | None, typer.Option(help="Keep everything here, not just for this run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready.")] = False,
) -> None:
    """Start a hub and a small simulated household, and print one link that logs in. Ctrl-C ends it all."""
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="plait-demo-")))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            asyncio.run(_run(port, folder, as_json))
        except (DemoError, OSError) as error:
            print(f"plait demo: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
