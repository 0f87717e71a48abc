"""Keeps the door's certificate good for as long as the hub runs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final, Protocol, Self

import structlog

from plait.hub.tls.choice import choose
from plait.hub.tls.sources import Challenged, Local

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from plait.hub.settings import Settings
    from plait.hub.tls.authority import Authority, Pair
    from plait.hub.tls.sources import Source

LOOK_EVERY: Final = 10.0
"""Seconds from one look at files and addresses to the next: a look costs about a millisecond."""

_log = structlog.get_logger("plait.hub")


class Reloaded(Challenged, Protocol):
    """Takes certificates: the door."""

    def reload(self, certificate: bytes, key: bytes) -> None:
        """Take this one for connections to come."""


class Keeper:
    """Looks whether another certificate is due, and gives it to the door.

    Args:
        source: where certificates come from; None for a hub without TLS.
        every: seconds from one look to the next.

    Attributes:
        pair: the certificate to begin with; None without TLS.
        authority: the local one, where it vouches for the hub.
        tokens: what ACME servers are answered by HTTP, by token.
    """

    pair: Pair | None = None

    def __init__(self, source: Source | None, *, every: float = LOOK_EVERY) -> None:
        self._source = source
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self.authority: Authority | None = source.authority if isinstance(source, Local) else None
        self.tokens: Mapping[str, str] = {} if source is None else source.tokens

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

    def start(self, door: Reloaded) -> None:
        """Begin to look.

        Args:
            door: takes certificates; raises ValueError where one is none, and the last stays.
        """
        if self._source is not None:
            self._source.door = door
            self._task = asyncio.create_task(self._look(self._source, door), name="certificates")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self, source: Source, door: Reloaded) -> None:
        while True:
            try:
                pair = await _aside(source.newer)
                if pair is not None:
                    door.reload(pair.chain, pair.key)
                    _log.info("connections to come get the new certificate")
            except (OSError, ValueError) as error:
                if str(error) != self._trouble:  # once, not every ten seconds
                    _log.warning("no new certificate; the last one stays", reason=str(error))
                self._trouble = str(error)
            except Exception:  # noqa: BLE001 - a fault of ours must not let a certificate run out unseen
                _log.exception("the look for a new certificate failed")
            else:
                self._trouble = ""
            await asyncio.sleep(self._every)


async def _aside(look: Callable[[], Pair | None]) -> Pair | None:
    """Call it in a thread that nobody waits for at the end: a server may take its time."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Pair | None] = loop.create_future()

    def settle(pair: Pair | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(pair)
        else:
            done.set_exception(error)

    def work() -> None:
        pair, failed = None, None
        try:
            pair = look()
        except Exception as error:  # noqa: BLE001 - handed on as it is
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, pair, failed)

    threading.Thread(target=work, name="plait-certificates", daemon=True).start()
    return await done
