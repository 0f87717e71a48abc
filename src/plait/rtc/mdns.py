"""Remote candidates behind `.local` names, which browsers give instead of addresses.

The names are asked for by multicast DNS (RFC 6762), as draft-ietf-mmusic-mdns-ice-candidates says.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger("plait.rtc")

# Names that one far end may make us ask the whole network for; a browser has one for each of its addresses.
_MOST_NAMES = 16
# One label, as browsers make them: a far end gets no other name asked for.
_NAME = re.compile(r"[0-9a-z-]{1,63}\.local")


class LocalNames:
    """The names that one connection's far end has told.

    Args:
        use: takes a candidate line that has its address now.
        ignore: called for each candidate whose name leads nowhere.
    """

    def __init__(self, use: Callable[[str], object], ignore: Callable[[], None]) -> None:
        self._use = use
        self._ignore = ignore
        self._names: set[str] = set()
        self._lines: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, line: str) -> bool:
        """Resolve the name in a well-formed candidate line, and use it; False if there is none.

        What comes a second time is not asked for again.
        """
        fields = line.removeprefix("a=").split()
        line, name = " ".join(fields), fields[4].lower()
        if fields[2].lower() != "udp" or not name.endswith(".local"):
            return False
        if line in self._lines:
            return True
        if _NAME.fullmatch(name) is None or len(self._names | {name}) > _MOST_NAMES:
            self._ignore()
            return True
        self._names.add(name)
        self._lines.add(line)
        task = asyncio.get_running_loop().create_task(self._resolve(name, fields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def take_all(self, sdp: str) -> None:
        """Do so with all candidate lines of a description."""
        for line in sdp.splitlines():
            if line.startswith("a=candidate:") and len(line.split()) > 7:
                self.take(line)

    def end(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()

    async def ended(self) -> None:
        """Wait until nothing is asked any more, and what asked is closed; after `end`."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _resolve(self, name: str, fields: list[str]) -> None:
        # In a thread: loading takes a tenth of a second.
        multicast = await asyncio.to_thread(importlib.import_module, "plait.rtc.multicast")
        address = None
        try:
            address = await multicast.resolve(name)
        except OSError as error:
            _logger.info("names like %s cannot be resolved on this machine: %s", name, error)
        except Exception:  # whatever the library makes of a far end's odd name ends here
            _logger.debug("the name %s cannot be asked for", name, exc_info=True)
        if address is None:
            _logger.debug("nobody on this network has the name %s", name)
            self._ignore()
            return
        with contextlib.suppress(ValueError):
            self._use(" ".join([*fields[:4], address, *fields[5:]]))
