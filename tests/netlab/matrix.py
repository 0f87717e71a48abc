"""Runs the whole matrix of networks, and writes docs/networks.md: `make netlab`.

python -m tests.netlab.matrix [engine | chromium]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .cells import MATRIX, run_cell

if TYPE_CHECKING:
    from .cells import Cell, Result

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"

HEAD = """# Networks

Which path a device and a viewer find, on {count} pairs of networks, each made of Linux network namespaces
and nftables by `tests/netlab`: `make netlab` runs all of them and writes this page. The device runs our
engine; the viewer runs our engine, or headless Chromium. STUN and TURN come from coturn on port 443 of a
public address.

| network | |
|---|---|
| public | no NAT |
| full | all UDP to the router's address is forwarded |
| addr | the same port for every destination; lets in addresses that were sent to |
| cone | the same port for every destination; lets in addresses and ports that were sent to |
| symmetric | another port for each destination |
| udpblock | no UDP |
| tcp443 | TCP to ports 443 and 8080, nothing else |
| IPv6 | IPv6 alone, behind a router that lets in what answers |

Times are seconds from the viewer's offer to an open data channel, and to the first picture: a whole key
frame in our engine, a painted one in Chromium. Read once, on a shared two-core machine. The path is the one
in use at most 2 s later. "!" marks a path that is relayed where the two networks allow a direct one, or no
path at all.

| device | viewer | way out of both | engine | open | picture | Chromium | open | picture |
|---|---|---|---|---|---|---|---|---|
"""


async def attempt(cell: Cell, *, browser: bool) -> Result | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return await run_cell(cell, Path(folder), browser=browser)
        except TimeoutError:
            return None


def columns(cell: Cell, result: Result | None) -> str:
    if result is None:
        return "**none !** | |"
    mark = " **!**" if cell.direct and not result.direct else ""
    return f"{result.path}{mark} | {result.open:.2f} | {result.frame:.2f}"


async def main(kinds: tuple[str, ...]) -> int:
    rows, wrong = [], 0
    for cell in MATRIX:
        told = []
        for kind in ("engine", "chromium"):
            if kind not in kinds:
                told.append("| |")
                continue
            result = await attempt(cell, browser=kind == "chromium")
            told.append(columns(cell, result))
            wrong += "!" in told[-1]
        way = str(cell).split("-", 2)[2:] or [""]
        ends = f"{cell.device or 'public'} | {cell.viewer or 'public'}"
        rows.append(f"| {ends} | {way[0].replace('-', ', ')} | {' | '.join(told)} |")
        print(rows[-1], flush=True)  # noqa: T201 - it takes minutes
    PAGE.write_text(HEAD.format(count=len(MATRIX)) + "\n".join(rows) + "\n", encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(tuple(sys.argv[1:]) or ("engine", "chromium"))) else 0)
