"""`plait watch`: follow a thing."""

import sys
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from plait import app
from plait.cli.talk import Hub, Json, ThingName, Token, clock, console, plain, print_json, shown, talk
from plait.wire.messages import now


def command(
    thing: ThingName,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Properties and events; absent, all.")
    ] = None,
    *,
    count: Annotated[
        int | None, typer.Option("--count", "-n", help="End after so many changes.", min=1)
    ] = None,
    hub: Hub = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Follow a thing's values and events, first its last known values, until Ctrl-C.

    A hub that goes away is dialled again. Piped, a line for each change: time, name and value between tabs.
    """
    talk(_follow(thing, names or [], count, hub, token, as_json=as_json))


async def _follow(
    thing: str, names: list[str], count: int | None, hub: str | None, token: str | None, *, as_json: bool
) -> None:
    async with app.connect(hub, token=token) as home:
        proxy = home.find(thing)
        out, pretty = console(), sys.stdout.isatty()
        if pretty:
            home.on_state = _Connection().moved
        seen = 0
        async for change in proxy.watch(*names):
            if as_json:
                print_json(msgspec.to_builtins(change))
            elif pretty:
                out.print(_line(proxy, change))
            else:
                print(change.timestamp.isoformat(), change.name, plain(change.value), sep="\t", flush=True)
            seen += 1
            if seen == count:
                return


def _line(thing: app.ThingProxy, change: app.Change) -> Text:
    time = Text(f"{clock(change.timestamp)}  ", style="dim")
    if change.kind == "presence":
        online = change.value == "online"
        style = "green" if online else "blue" if change.value == "asleep" else "red"
        mark = ("● " if online else "○ ", style)
        return Text.assemble(time, mark, (f"{thing.title} is {change.value}", style))
    if change.kind == "event":
        unit = str(thing.events.get(change.name, {}).get("unit", ""))
        value = Text("") if change.value is None else shown(change.value, unit)
        return Text.assemble(time, ("⚡ ", "yellow"), (change.name, "yellow"), " ", value)
    unit = str(thing.properties.get(change.name, {}).get("unit", ""))
    return Text.assemble(time, "  ", change.name, " ", shown(change.value, unit))


class _Connection:
    """Tells once that the hub is gone, and once that it is back."""

    def __init__(self) -> None:
        self._gone = False

    def moved(self, state: str) -> None:
        """Take a change of the connection."""
        if state == "lost" and not self._gone:
            self._gone = True
            self._say("the hub is gone; dialling on")
        elif state in {"connected", "resumed"} and self._gone:
            self._gone = False
            self._say("the hub is back")

    @staticmethod
    def _say(text: str) -> None:
        console().print(Text(f"{clock(now())}  {text}", style="dim"))
