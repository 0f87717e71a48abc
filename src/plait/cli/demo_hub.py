"""The demo's hub as a process: `python -m plait.cli.demo_hub --port N --data DIR ID…`.

When it serves it prints one line, a JSON object: `url`, `login` (a link that logs in once), `token` (a
user's) and `tokens` (of the things named, by id). It ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

import structlog

from plait.hub.main import Hub
from plait.hub.settings import Settings


async def _serve(port: int, data: Path, things: list[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Hub(Settings(port=port, data=data)) as hub:
        ready = {
            "url": hub.url,
            "login": hub.login_link(),
            "token": hub.user_token(),
            "tokens": {thing: hub.token(thing) for thing in things},
        }
        print(json.dumps(ready), flush=True)
        await stop.wait()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="plait.cli.demo_hub")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("things", nargs="*")
    given = parser.parse_args()
    # Standard output is for the one line.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_serve(given.port, given.data, given.things))


if __name__ == "__main__":
    main()
