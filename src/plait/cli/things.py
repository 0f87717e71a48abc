"""`plait things`: what there is, and what is online."""

import sys

import msgspec
from rich.table import Table
from rich.text import Text

from plait import app
from plait.cli.talk import Hub, Json, Token, clock, console, print_json, shown, talk
from plait.wire.messages import Presence, now

_MARKS = {"online": "●", "asleep": "☾", "offline": "○"}


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
        values = Text("  ").join(
            Text.assemble(
                (f"{name} ", "dim"), shown(state.value, str(thing.properties.get(name, {}).get("unit", "")))
            )
            for name, state in thing.state.properties.items()
        )
        values.truncate(100, overflow="ellipsis")
        table.add_row(
            Text(
                "●" if online else "☾" if thing.presence.state == "asleep" else "○",
                style="green" if online else "dim",
            ),
            Text(thing.title, style="bold" if online else "dim"),
            Text(thing.id, style="cyan" if online else "dim"),
            values if online else Text(_away(thing.presence), style="dim"),
        )
    return table


def _away(presence: Presence) -> str:
    if presence.until is None:
        return f"offline since {clock(presence.since)}"
    left = max(0, round((presence.until - now()).total_seconds()))
    wake = (
        f"in {left} s"
        if left < 100
        else f"in {round(left / 60)} min"
        if left < 6000
        else clock(presence.until)
    )
    return f"asleep, next wake {wake}"
