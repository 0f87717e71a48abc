"""`plait watch`: follow a thing."""

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.text import Text

from plait import app
from plait.cli.talk import Hub, Json, ThingName, Token, clock, console, plain, print_json, shown, talk
from plait.wire.messages import now

if TYPE_CHECKING:
    from plait.link import Link


def command(
    thing: ThingName,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Properties and events; absent, all.")
    ] = None,
    *,
    count: Annotated[
        int | None, typer.Option("--count", "-n", help="End after so many changes.", min=1)
    ] = None,
    path: Annotated[
        bool, typer.Option("--path", help="Open a link too, and say which path carries it, and why.")
    ] = False,
    hub: Hub = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Follow a thing's values and events, first its last known values, until Ctrl-C.

    A hub that goes away is dialled again. Piped, a line for each change: time, name and value between tabs.
    """
    talk(_follow(thing, names or [], count, hub, token, path=path, as_json=as_json))


async def _follow(
    thing: str,
    names: list[str],
    count: int | None,
    hub: str | None,
    token: str | None,
    *,
    path: bool,
    as_json: bool,
) -> None:
    async with app.connect(hub, token=token) as home, AsyncExitStack() as stack:
        proxy = home.find(thing)
        out, pretty = console(), sys.stdout.isatty()
        if pretty:
            home.on_state = _Connection().moved
        if path:
            _Paths(await stack.enter_async_context(proxy.link()), as_json=as_json, pretty=pretty)
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


class _Paths:
    """Tells which path carries a link and why, now and whenever that changes; these lines are not counted."""

    def __init__(self, link: "Link", *, as_json: bool, pretty: bool) -> None:
        self._link = link
        self._as_json = as_json
        self._pretty = pretty
        self._tell(link.path.name, link.path.reason)
        link.on_path = lambda choice: self._tell(choice.name, choice.reason)
        link.on_close = lambda: self._tell("", str(link.error)) if link.error else None

    def _tell(self, name: str, reason: str) -> None:
        at, rtt = now(), self._link.stats().get(name, {}).get("rtt")
        if self._as_json:
            print_json(
                {"kind": "path", "name": name, "reason": reason, "rtt": rtt, "timestamp": at.isoformat()}
            )
        elif self._pretty:
            mark = ("⇄ ", "green" if name == "direct" else "yellow" if name else "red")
            console().print(Text.assemble((f"{clock(at)}  ", "dim"), mark, name or "no path", f": {reason}"))
        else:
            print(at.isoformat(), "path", f"{name or 'none'}: {reason}", sep="\t", flush=True)


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
