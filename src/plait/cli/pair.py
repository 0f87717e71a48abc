"""`plait pair`: let one thing use another, without the hub too; alone, it lists who may."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer

from plait import app
from plait.app.pairing import Pairing, Verb, pair, pairings
from plait.cli.talk import Hub, Json, Token, console, fail, print_json, talk

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def command(
    caller: Annotated[
        str | None, typer.Argument(metavar="CALLER", help="The thing that is to use the other.")
    ] = None,
    thing: Annotated[str | None, typer.Argument(metavar="THING", help="The other.")] = None,
    *,
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="When it ends: 90m, 24h, 7d; absent, when taken back."),
    ] = None,
    alone: Annotated[
        str,
        typer.Option("--without-hub", metavar="TIME", help="How long the two go on while the hub is away."),
    ] = "24h",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="A property, action or event; several.")
    ] = None,
    read: Annotated[bool, typer.Option("--read", help="It may read and listen, not set and run.")] = False,
    hub: Hub = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Let one thing use another, directly and while the hub is away as well. Alone, list who may."""
    if caller is None:
        talk(_list(hub=hub, token=token, as_json=as_json))
        return
    if thing is None:
        fail("two things are needed: plait pair BUTTON LAMP", code=2)
    until = None if lasting is None else datetime.now(UTC) + _time(lasting)
    verbs: tuple[Verb, ...] = ("read",) if read else ("read", "control")
    talk(
        _pair(
            *(caller, thing),
            until=until,
            lease=_time(alone),
            verbs=verbs,
            names=only,
            hub=hub,
            token=token,
            as_json=as_json,
        )
    )


async def _pair(
    caller: str,
    thing: str,
    *,
    until: datetime | None,
    lease: timedelta,
    verbs: tuple[Verb, ...],
    names: list[str] | None,
    hub: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    async with app.connect(hub, token=token) as home:
        uses, used = home.find(caller), home.find(thing)
        made = await pair(home, uses.id, used.id, until=until, lease=lease, verbs=verbs, names=names)
        if as_json:
            print_json(msgspec.to_builtins(made))
            return
        console().print(f"[green]✓[/] {uses.title} may use {used.title} {_what(made)}")
        for away in made.waiting:
            console().print(f"[dim]it begins when {away} is there[/]")


async def _list(*, hub: str | None, token: str | None, as_json: bool) -> None:
    async with app.connect(hub, token=token) as home:
        known = await pairings(home)
        if as_json:
            print_json(msgspec.to_builtins(known))
            return
        for each in known:
            console().print(f"{each.caller} → {each.thing}  [dim]{_what(each)}[/]")


def _what(made: Pairing) -> str:
    parts = ["until it is taken back" if made.until is None else f"until {made.until:%Y-%m-%d %H:%M} UTC"]
    if made.verbs == ["read"]:
        parts.append("reading")
    if made.names is not None:
        parts.append("only " + ", ".join(made.names))
    parts.append(f"{timedelta(seconds=made.lease)} without the hub")
    return ", ".join(parts)


def _time(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        fail(f"not a time: {text!r}; such as 90m, 24h or 7d", code=2)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
