"""`plait get`: read a thing's properties."""

import sys
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from plait import app
from plait.cli.talk import (
    Hub,
    Json,
    ThingName,
    Timeout,
    Token,
    clock,
    console,
    plain,
    print_json,
    shown,
    talk,
)
from plait.wire.messages import PropertyState


def command(
    thing: ThingName,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Properties; absent, all.")
    ] = None,
    *,
    hub: Hub = None,
    token: Token = None,
    timeout: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Read properties: from the thing where it is online, else the last known values.

    With one NAME piped, just the value; with several, a line for each with a tab between name and value.
    """
    talk(_read(thing, names or [], hub=hub, token=token, timeout=timeout, as_json=as_json))


async def _read(
    thing: str,
    names: list[str],
    *,
    hub: str | None,
    token: str | None,
    timeout: float,  # noqa: ASYNC109 - the user's
    as_json: bool,
) -> None:
    async with app.connect(hub, token=token) as home:
        proxy = home.find(thing)
        if names:
            states = {name: await proxy.reading(name, timeout=timeout) for name in names}
        else:
            states = await proxy.readings(timeout=timeout)
        if as_json:
            print_json(msgspec.to_builtins(states))
        elif sys.stdout.isatty():
            console().print(_table(proxy, states))
        elif len(names) == 1:
            print(plain(states[names[0]].value))
        else:
            for name, state in states.items():
                print(name, plain(state.value), sep="\t")


def _table(thing: app.ThingProxy, states: dict[str, PropertyState]) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), show_header=False)
    for name, state in states.items():
        affordance = thing.properties.get(name, {})
        table.add_row(
            name,
            shown(state.value, str(affordance.get("unit", ""))),
            Text(clock(state.timestamp), style="dim"),
            Text(str(affordance.get("description", "")), style="dim"),
        )
    return table
