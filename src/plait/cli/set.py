"""`plait set`: write a property."""

import sys
from typing import Annotated

import typer
from rich.text import Text

from plait import app
from plait.cli.talk import (
    Hub,
    Json,
    ThingName,
    Timeout,
    Token,
    console,
    parse,
    plain,
    print_json,
    shown,
    talk,
)


def command(
    thing: ThingName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The property.")],
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="JSON, or a text; on, off, yes and no do as well.")
    ],
    *,
    hub: Hub = None,
    token: Token = None,
    timeout: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Write a property, and print its value as the device has confirmed it."""
    talk(_write(thing, name, value, hub=hub, token=token, timeout=timeout, as_json=as_json))


async def _write(
    thing: str,
    name: str,
    value: str,
    *,
    hub: str | None,
    token: str | None,
    timeout: float,  # noqa: ASYNC109 - the user's
    as_json: bool,
) -> None:
    async with app.connect(hub, token=token) as home:
        proxy = home.find(thing)
        affordance = proxy.properties.get(name, {})
        confirmed = await proxy.write(name, parse(value, affordance), timeout=timeout)
        if as_json:
            print_json(confirmed)
        elif sys.stdout.isatty():
            unit = str(affordance.get("unit", ""))
            console().print(Text.assemble(("✓ ", "green"), f"{proxy.title} {name} ", shown(confirmed, unit)))
        else:
            print(plain(confirmed))
