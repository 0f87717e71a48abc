"""Keeps the door's certificate good for as long as the hub runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

import structlog

from plait.hub.tls.choice import choose
from plait.hub.tls.sources import Local

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.hub.settings import Settings
    from plait.hub.tls.authority import Authority, Pair
    from plait.hub.tls.sources import Source

LOOK_EVERY: Final = 10.0
"""Seconds from one look at files and addresses to the next: a look costs about a millisecond."""

_log = structlog.get_logger("plait.hub")


class Keeper:
    """Looks whether another certificate is due, and gives it to the door.

    Args:
        source: where certificates come from; None for a hub without TLS.
        every: seconds from one look to the next.

    Attributes:
        pair: the certificate to begin with; None without TLS.
        authority: the local one, where it vouches for the hub.
    """

    pair: Pair | None = None

    def __init__(self, source: Source | None, *, every: float = LOOK_EVERY) -> None:
        self._source = source
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self.authority: Authority | None = source.authority if isinstance(source, Local) else None

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Return the one that a hub's settings ask for, with its first certificate.

        Raises:
            OSError, ValueError: there is none, and why.
        """
        keeper = cls(await asyncio.to_thread(choose, settings))
        if keeper._source is not None:
            keeper.pair = await asyncio.to_thread(keeper._source.first)
        return keeper

    def start(self, reload: Callable[[bytes, bytes], None]) -> None:
        """Begin to look.

        Args:
            reload: takes a certificate and its key; raises ValueError where they are none, and the last stay.
        """
        if self._source is not None:
            self._task = asyncio.create_task(self._look(self._source, reload), name="certificates")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self, source: Source, reload: Callable[[bytes, bytes], None]) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                pair = await asyncio.to_thread(source.newer)
                if pair is not None:
                    reload(pair.chain, pair.key)
                    _log.info("connections to come get the new certificate")
            except (OSError, ValueError) as error:
                if str(error) != self._trouble:  # once, not every ten seconds
                    _log.warning("no new certificate; the last one stays", reason=str(error))
                self._trouble = str(error)
            else:
                self._trouble = ""
