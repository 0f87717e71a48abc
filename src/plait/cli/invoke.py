"""`plait invoke`: run an action."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from msgspec import UNSET
from rich.text import Text

from plait import app
from plait.cli.talk import (
    Hub,
    Json,
    ThingName,
    Timeout,
    Token,
    console,
    fail,
    parse,
    plain,
    print_json,
    shown,
    talk,
)


def command(
    thing: ThingName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The action.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT | MEMBER=VALUE…]", help="Its whole input as JSON, or the input's members."
        ),
    ] = None,
    *,
    hub: Hub = None,
    token: Token = None,
    timeout: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Run an action, and print its output once the device has done it."""
    talk(_run(thing, name, arguments or [], hub=hub, token=token, timeout=timeout, as_json=as_json))


async def _run(
    thing: str,
    name: str,
    arguments: list[str],
    *,
    hub: str | None,
    token: str | None,
    timeout: float,  # noqa: ASYNC109 - the user's
    as_json: bool,
) -> None:
    async with app.connect(hub, token=token) as home:
        proxy = home.find(thing)
        schema = proxy.actions.get(name, {}).get("input", {})
        began = time.perf_counter()
        output = await proxy.invoke(name, _input(arguments, schema), timeout=timeout)
        took = time.perf_counter() - began
        if as_json:
            print_json(output)
        elif sys.stdout.isatty():
            done = Text.assemble(("✓ ", "green"), f"{proxy.title} {name} ")
            done.append_text(Text("") if output is None else shown(output)).append(
                f" {took * 1000:.0f} ms", "dim"
            )
            console().print(done)
        elif output is not None:
            print(plain(output))


def _input(arguments: list[str], schema: Mapping[str, Any]) -> Any:
    """Return the input that was typed: `'{"times": 2}'`, `kitchen`, or `times=2 hue=red`."""
    if not arguments:
        return UNSET
    members = schema.get("properties", {})
    pairs = [argument.partition("=") for argument in arguments]
    if all(mark for _, mark, _ in pairs) and schema.get("type", "object") == "object":
        return {member: parse(value, members.get(member)) for member, _, value in pairs}
    if len(arguments) > 1:
        fail("an input is one JSON value, or members as NAME=VALUE", code=2)
    if schema.get("type") == "object" and not _is_json(arguments[0]):
        known = " ".join(f"{member}=…" for member in members)
        fail(f"the input is an object: give {known or 'NAME=VALUE'}, or JSON", code=2)
    return parse(arguments[0], schema)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
