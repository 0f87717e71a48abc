"""Runs the whole matrix of networks, and writes docs/networks.md: `make netlab`, or `make netlab ROUNDS=10`.

python -m tests.netlab.matrix [--rounds N] [engine | chromium | changes]…
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from .cells import MATRIX, Result, lab_of, once
from .changes import CHANGES, run_change, run_page_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .cells import Cell
    from .house import Caller, House

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
KINDS = ("engine", "chromium")

HEAD = """# Networks

Which path a device and a viewer find, on {count} pairs of networks, each made of Linux network namespaces
and nftables by `tests/netlab`: `make netlab` runs all of them and writes this page. The device is a camera
of ours, the viewer a Python program, or headless Chromium. The hub is the only server: its TCP port 443 has
its WebSocket and TURN by TCP and TLS, its UDP port 443 STUN and TURN; "coturn" marks the pair that has coturn
instead.

| network | |
|---|---|
| public | no NAT |
| full | all UDP to the router's address is forwarded |
| addr | the same port for every destination; lets in addresses that were sent to |
| cone | the same port for every destination; lets in addresses and ports that were sent to |
| symmetric | another port for each destination |
| udpblock | no UDP |
| tcp443 | TCP to port 443, nothing else |
| IPv6 | IPv6 alone, behind a router that lets in what answers |

Times are seconds from the call to an open data channel, and to the first picture: a whole key frame in our
engine, a painted one in Chromium; medians and, after the stroke, 95th percentiles of {rounds} on a two-core
machine. The path is the one in use at most 2 s later; where it was not the same each time, how often. "!"
marks a path that is relayed where the two networks allow a direct one, and calls that failed.

| device | viewer | | engine | open | picture | Chromium | open | picture |
|---|---|---|---|---|---|---|---|---|
"""

AFTER = """
## While a call lasts

What happens to a picture, and to a link over which the device sends 50 numbers a second, when something
changes beneath them. The time is the longest without a frame of video (10 a second) from the change until it
is back, in a Python program and on the page in Chromium; medians and the longest of {rounds}. No number was
lost, doubled or out of order.

| what | device | viewer | Python | Chromium |
|---|---|---|---|---|
"""

LAST = """
## Where nothing opens

Where only the hub's WebSocket gets through, still pictures come over that until a better path opens: one to
four a second, the first about a second after the call. The page and `thing.video()` say so, and why
(`tests/netlab/test_pictures.py`).
"""


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile, which of few is the largest."""
    return max(values) if len(values) < 20 else quantiles(values, n=20)[-1]


def columns(cell: Cell, results: list[Result | str]) -> str:
    """Return a row's three columns about one viewer."""
    fine = [result for result in results if isinstance(result, Result)]
    if not fine:
        return "**none !** | | "
    paths = [result.path for result in fine]
    names = sorted(set(paths), key=paths.count, reverse=True)
    words = ", ".join(names if len(names) == 1 else [f"{name} {paths.count(name)}" for name in names])
    wrong = " **!**" if cell.direct and not all(result.direct for result in fine) else ""
    failed = f" **{len(results) - len(fine)} of {len(results)} failed !**" if len(fine) < len(results) else ""
    times = [
        f"{sorted(all_)[len(all_) // 2]:.2f} / {p95(all_):.2f}"
        for all_ in ([result.open for result in fine], [result.frame for result in fine])
    ]
    return f"{words}{wrong}{failed} | {' | '.join(times)}"


def groups() -> list[list[Cell]]:
    """Return the cells by lab: one for all that differ by their NATs alone, which can be exchanged in it."""
    return [[cell for cell in MATRIX if cell.plain], *([cell] for cell in MATRIX if not cell.plain)]


async def measure(kind: str, rounds: int) -> dict[str, str]:
    """Return each cell's columns about one kind of viewer."""
    told = {}
    for cells in groups():
        with tempfile.TemporaryDirectory() as folder:
            async with lab_of(cells[0], Path(folder)) as home, AsyncExitStack() as stack:
                browser = None
                if kind == "chromium":  # started once for a lab: the hub's link logs in once
                    browser = await stack.enter_async_context(home.browser_caller())
                for cell in cells:
                    results = await calls(cell, home, browser, rounds)
                    told[str(cell)] = columns(cell, results)
                    failed = (result for result in results if isinstance(result, str))
                    print(f"{kind}: {cell}: {told[str(cell)]}", *failed, sep="\n    ", flush=True)  # noqa: T201 - it takes minutes
    return told


async def calls(cell: Cell, home: House, browser: Caller | None, rounds: int) -> list[Result | str]:
    """Call so many times between a cell's networks."""
    results = []
    if cell.plain:
        home.device.become(cell.device)
        home.viewer.become(cell.viewer)
    async with AsyncExitStack() as stack:
        caller = browser or await stack.enter_async_context(home.caller())
        for _ in range(rounds):
            results.append(await once(caller))
            home.device.forget()
            home.viewer.forget()
    return results


async def changes(rounds: int) -> list[str]:
    """Return the rows about changes under way."""
    rows = []
    for change in CHANGES:
        gaps: list[list[float]] = [[], []]
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                gaps[0].append((await run_change(change, Path(folder))).gap)
            with tempfile.TemporaryDirectory() as folder:
                gaps[1].append(await run_page_change(change, Path(folder)))
        both = (f"{sorted(each)[len(each) // 2]:.2f} / {p95(each):.2f}" for each in gaps)
        rows.append(f"| {change.words} | {change.device} | {change.viewer} | {' | '.join(both)} |")
        print(rows[-1], flush=True)  # noqa: T201 - as above
    return rows


async def main(kinds: Sequence[str], rounds: int) -> int:
    """Run it; return how many cells are not as they should be."""
    told = {kind: await measure(kind, rounds) for kind in KINDS if kind in kinds}
    rows = []
    for cell in MATRIX:
        ends = f"{cell.device or 'public'} | {cell.viewer or 'public'} | {', '.join(cell.special)}"
        rows.append(
            f"| {ends} | {' | '.join(told[kind][str(cell)] if kind in told else ' | | ' for kind in KINDS)} |"
        )
    text = HEAD.format(count=len(MATRIX), rounds="one call each" if rounds == 1 else f"{rounds} calls each")
    text += "\n".join(rows) + "\n"
    if "changes" in kinds:
        few = min(rounds, 3)
        text += AFTER.format(rounds=few) + "\n".join(await changes(few)) + "\n"
    PAGE.write_text(text + LAST, encoding="utf-8")
    return sum("!" in row for row in rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.netlab.matrix")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("kinds", nargs="*", default=(*KINDS, "changes"))
    given = parser.parse_args()
    sys.exit(1 if asyncio.run(main(given.kinds, given.rounds)) else 0)
