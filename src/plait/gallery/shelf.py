"""A shelf, simulated: it takes files from whoever has a link to it, and gives them back when asked.

`plait thing src/plait/gallery/shelf.py` serves it; the files are in the folder PLAIT_SHELF, or else `shelf`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plait.link.files import receive_file, send_file
from plait.thing import Thing, action, prop
from plait.wire.errors import LinkLost, Offline, PlaitError, UnknownAffordance

if TYPE_CHECKING:
    from plait.link import Link

LARGEST: Final = 1 << 30
"""Bytes of a file."""

_LINK: Final = {"rel": "plait:link", "href": "/ws", "plait:files": ["receive", "send"]}

_log = logging.getLogger("plait.gallery")


class Shelf(Thing, types=["Shelf"], links=[_LINK], context=[{"plait": "urn:plait:"}]):
    """A shelf for files: send it some, and ask for one of them.

    Args:
        folder: where the files are.
        options: as `Thing`.
    """

    files: list[str] = prop(readonly=True, description="What is on it, by name.")

    def __init__(self, *args: Any, folder: str | os.PathLike[str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.folder = Path(folder or os.environ.get("PLAIT_SHELF") or "shelf")
        self._links: set[Link] = set()
        self._giving: set[asyncio.Task[None]] = set()
        self._look()

    @action
    async def give(self, name: str) -> None:
        """Begin to send a file over every link that is open."""
        if name not in self.files:
            raise UnknownAffordance(f"There is no {name!r} here")
        if not self._links:
            raise Offline("Nobody has a link to the shelf to send it over")
        for link in tuple(self._links):
            task = asyncio.create_task(_give(link, self.folder / name))
            self._giving.add(task)
            task.add_done_callback(self._giving.discard)

    async def on_link(self, link: Link) -> None:
        """Take files, one after the other, for as long as the link lasts."""
        self._links.add(link)
        try:
            while True:
                try:
                    await receive_file(link, self.folder, limit=LARGEST)
                    self._look()
                except LinkLost:
                    return
                except (PlaitError, OSError) as error:
                    _log.warning("a file was not taken: %s", error)
        finally:
            self._links.discard(link)

    def _look(self) -> None:
        names: list[str] = []
        with suppress(FileNotFoundError):  # nothing was put on it yet
            names = [entry.name for entry in self.folder.iterdir() if entry.is_file()]
        self.files = sorted(name for name in names if not name.startswith("."))


async def _give(link: Link, file: Path) -> None:
    try:
        await send_file(link, file)
    except (PlaitError, OSError) as error:
        _log.warning("%s was not given: %s", file.name, error)
