"""`plait things`: what there is, and what is online."""

import sys

import msgspec
from rich.table import Table
from rich.text import Text

from plait import app
from plait.cli.talk import Hub, Json, Token, clock, console, print_json, shown, talk


def command(hub: Hub = None, token: Token = None, as_json: Json = False) -> None:
    """Show the hub's things: title, id, presence and last known values.

    Piped, a line for each with its id, title and presence between tabs.
    """
    talk(_show(hub, token, as_json=as_json))


async def _show(hub: str | None, token: str | None, *, as_json: bool) -> None:
    async with app.connect(hub, token=token) as home:
        things = await home.things()
        if as_json:
            print_json([msgspec.to_builtins(thing.state) for thing in things])
        elif sys.stdout.isatty():
            console().print(_table(things) if things else Text("no things yet", style="dim"))
        else:
            for thing in things:
                print(thing.id, thing.title, thing.presence.state, sep="\t")


def _table(things: list[app.ThingProxy]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), show_header=False)
    for thing in things:
        online = thing.presence.state == "online"
        since = clock(thing.presence.since)
        values = Text("  ").join(
            Text.assemble(
                (f"{name} ", "dim"), shown(state.value, str(thing.properties.get(name, {}).get("unit", "")))
            )
            for name, state in thing.state.properties.items()
        )
        values.truncate(100, overflow="ellipsis")
        table.add_row(
            Text("●" if online else "○", style="green" if online else "dim"),
            Text(thing.title, style="bold" if online else "dim"),
            Text(thing.id, style="cyan" if online else "dim"),
            values if online else Text(f"offline since {since}", style="dim"),
        )
    return table
