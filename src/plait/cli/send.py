"""`plait send`: a file to a thing, directly where that is possible."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from plait import app
from plait.cli.talk import Hub, ThingName, Token, console, fail, talk
from plait.link import Link, send_file
from plait.wire.errors import LinkLost

TRIES = 5
"""Times that a lost link is opened again; what has come is not sent twice."""


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to send.")],
    thing: ThingName,
    *,
    hub: Hub = None,
    token: Token = None,
) -> None:
    """Send a file to a thing that takes files; ends when the thing has it and has checked it."""
    if not file.is_file():
        fail(f"{file} is not a file", code=2)
    talk(_send(file, file.stat().st_size, thing, hub=hub, token=token))


async def _send(file: Path, size: int, thing: str, *, hub: str | None, token: str | None) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    began = time.perf_counter()
    async with app.connect(hub, token=token) as home:
        proxy = home.find(thing)
        way = ""
        with Progress(*columns, TextColumn("[dim]{task.fields[way]}"), console=console()) as shown:
            task = shown.add_task(file.name, total=size, way="")
            for left in reversed(range(TRIES)):
                try:
                    async with proxy.link() as link:
                        await send_file(link, file, progress=partial(_show, shown, task, link))
                        way = link.path.name
                    break
                except LinkLost:
                    if not left:
                        raise
    took = time.perf_counter() - began
    through = "directly" if way == "direct" else "through the hub"
    console().print(f"[green]✓[/] {file.name}, {decimal(size)} to {proxy.title} {through}", end="")
    console().print(f" [dim]{took:.1f} s, SHA-256 checked[/]")


def _show(shown: Progress, task: TaskID, link: Link, done: int, size: int) -> None:
    shown.update(task, completed=done, total=size, way=link.path.reason)
