"""`plait doctor THING`: the way a connection to a thing takes, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from rich.text import Text

from plait import app
from plait.cli.talk import console, print_json
from plait.doctor import present
from plait.doctor.candidates import RUNGS
from plait.doctor.finding import ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plait.doctor.candidates import Candidate, Pair
    from plait.doctor.connection import Explanation

_WIDTH: Final = 20
_MARKS: Final = {
    "used": ("●", "green"),
    "works": ("✓", "green"),
    "trying": ("…", "yellow"),
    "failed": ("✗", "red"),
    "absent": ("-", "dim"),
}


async def explain(name: str, *, hub: str | None, token: str | None, ca: str | None, as_json: bool) -> None:
    """Open a link as any app does, and print which way it takes, and why no better one.

    Raises:
        PlaitError: there is no such thing, it is away, or the user may not.
    """
    async with app.connect(hub, token=token, ca=ca) as home:
        thing = home.find(name)
        if not as_json:
            console().print(Text(f"A link to {thing.title}, opened for this …", style="dim"))
        explained = await present.look(thing)
        if as_json:
            print_json({"thing": thing.id} | msgspec.to_builtins(explained))
            return
        _print(thing.title, explained)


def _print(title: str, explained: Explanation) -> None:
    out = console()
    out.print(Text.assemble((title, "bold"), ": ", explained.summary))
    out.print()
    for rung in explained.rungs:
        mark, style = _MARKS[rung.state]
        out.print(Text.assemble((mark, style), " ", (f"{RUNGS[rung.name]:<{_WIDTH}}", "bold"), rung.said))
        if rung.advice:
            out.print(Text(f"  {'':<{_WIDTH}}→ {rung.advice}", style="dim"))
    out.print()
    out.print(Text.assemble(("This end    ", "dim"), _listed(explained.local)))
    out.print(Text.assemble(("The far end ", "dim"), _listed(explained.remote)))
    if explained.pairs:
        out.print()
        for row in _rows(explained.pairs):
            out.print(row)


def _listed(candidates: list[Candidate]) -> str:
    return ", ".join(map(str, candidates)) or "no candidates"


def _rows(pairs: list[Pair]) -> Iterator[Text]:
    """Give a line for each pair, in columns."""
    rows = [("pair", "state", "answered", "there and back")]
    for pair in pairs:
        state = "in use" if pair.chosen else pair.state if pair.answered else "no answer"
        rtt = "" if pair.rtt is None else ms(pair.rtt)
        rows.append((f"{pair.local} ↔ {pair.remote}", state, f"{pair.answered} of {pair.asked}", rtt))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        style = "dim" if not number else "green" if pairs[number - 1].chosen else ""
        yield Text("   ".join(cells).rstrip(), style=style)
