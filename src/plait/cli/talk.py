"""What the verbs that talk to a hub share: its options, one line for what went wrong, how values look."""

import asyncio
import json
import sys
from collections.abc import Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from plait.wire.errors import PlaitError, Unauthorized

Hub = Annotated[
    str | None,
    typer.Option(
        "--hub", envvar="PLAIT_HUB", help="The hub's address.", show_default="http://127.0.0.1:8080"
    ),
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="PLAIT_TOKEN", help="A user's token: plait hub user-token.")
]
Authority = Annotated[
    str | None,
    typer.Option(
        "--ca", envvar="PLAIT_CA", help="Whom to trust for https: a PEM file, or a hub's pin: plait hub ca."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        envvar="PLAIT_STATE",
        help="Where things keep reports that the hub has not, and actions that they have begun.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for an answer.", min=0.1)]
ThingName = Annotated[
    str, typer.Argument(metavar="THING", help="Its id, its title, or a part that only it has.")
]

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def console() -> Console:
    """Return where results go: coloured on a terminal, plain elsewhere."""
    return Console(highlight=False, soft_wrap=True)


def talk(work: Coroutine[Any, Any, None]) -> None:
    """Run what a verb does; what goes wrong is one line on standard error and the exit code 1."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        raise typer.Exit(0) from None
    except Unauthorized:
        fail("the hub does not take the token; `plait hub user-token` makes one for --token or PLAIT_TOKEN")
    except PlaitError as error:
        fail(error.detail or error.title)
    except ValueError as error:  # an address that is none
        fail(str(error), code=2)


def fail(reason: str, *, code: int = 1) -> NoReturn:
    """Say what went wrong in one line, and end."""
    line = " ".join(reason.split())
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text.assemble(("plait: ", "bold red"), line))
    raise typer.Exit(code)


def parse(text: str, schema: Mapping[str, Any] | None = None) -> Any:
    """Return what a person typed as a value: JSON, else the text itself.

    The data schema, where there is one, decides what is open: digits for a text stay a text, and `on`, `off`,
    `yes` and `no` are booleans.
    """
    kind = (schema or {}).get("type")
    if kind == "boolean" and text.casefold() in {"on", "yes", "off", "no"}:
        return text.casefold() in {"on", "yes"}
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if kind == "string" and not isinstance(value, str):
        return text
    return value


def shown(value: Any, unit: str = "") -> Text:
    """Return a value as people read it, with its unit."""
    if isinstance(value, bool):
        text = Text("true" if value else "false", style="bold green" if value else "bold")
    elif isinstance(value, str):
        text = Text(value, style="bold")
    else:
        text = Text(plain(value), style="bold cyan" if isinstance(value, (int, float)) else "")
    return text.append(f" {_UNITS.get(unit, unit)}", style="not bold dim") if unit else text


def plain(value: Any) -> str:
    """Return a value as a program reads it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_json(value: Any) -> None:
    """Print JSON in one line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def clock(timestamp: datetime, *, date: bool = False) -> str:
    """Return a time as this machine's clock shows it."""
    return timestamp.astimezone().strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


_UNITS = {
    "percent": "%",
    "degreeCelsius": "°C",
    "degreeFahrenheit": "°F",
    "hertz": "Hz",
    "volt": "V",
    "watt": "W",
    "ampere": "A",
    "lux": "lx",
    "metre": "m",
    "second": "s",
}
