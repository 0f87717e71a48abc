"""`plait unpair`: take back that one thing may use another."""

from typing import Annotated

import typer

from plait import app
from plait.app.pairing import unpair
from plait.cli.talk import Hub, Token, console, talk


def command(
    caller: Annotated[str, typer.Argument(metavar="CALLER", help="The thing that uses the other.")],
    thing: Annotated[str, typer.Argument(metavar="THING", help="The other.")],
    *,
    hub: Hub = None,
    token: Token = None,
) -> None:
    """Take back that one thing may use another: their link ends at once."""
    talk(_unpair(caller, thing, hub=hub, token=token))


async def _unpair(caller: str, thing: str, *, hub: str | None, token: str | None) -> None:
    async with app.connect(hub, token=token) as home:
        uses, used = home.find(caller), home.find(thing)
        await unpair(home, uses.id, used.id)
        console().print(f"[green]✓[/] {uses.title} may not use {used.title} any more")
