"""A connection's STUN and TURN servers: resolved, handed to the engine, renewed for ICE restarts."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from plait.rtc import servers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from plait import _native
    from plait.rtc.ice import IceServer

    Renew = Callable[[], Awaitable[Sequence[IceServer]]]

UNREACHABLE: Final = 701
"""W3C's code for a server that could not be reached (RTCPeerConnectionIceErrorEvent)."""

RENEWED_WITHIN: Final = 5.0
"""Seconds that fresh servers may take; then those that are known are asked again."""

_logger = logging.getLogger("plait.rtc")


class Asking:
    """The servers of one connection.

    Args:
        native: the engine's side of it, which was told how many servers there are.
        known: the servers, each asked once until `renew`.
        failed: called with url, address, port, code and text of a server that is of no use.

    Attributes:
        config: the servers as they were last given.
    """

    def __init__(
        self,
        native: _native.Peer,
        config: Sequence[IceServer],
        failed: Callable[[str, str, int, int, str], None],
    ) -> None:
        self.config = tuple(config)
        self._native = native
        self._failed = failed
        self._waiting = servers.read(config)
        self._renewing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Ask those that were not asked yet."""
        waiting, self._waiting = self._waiting, []
        for server in waiting:
            self._spawn(self._ask(server))

    def renew(self, renew: Renew) -> None:
        """Ask none of them again, but those that `renew` returns; nothing waits for that."""
        if self._renewing is not None:
            self._renewing.cancel()
        self._waiting = []
        self._native.renew_servers(1)
        self._renewing = self._spawn(self._renew(renew))

    def end(self) -> None:
        """Stop what is under way."""
        for task in self._tasks:
            task.cancel()

    async def _renew(self, renew: Renew) -> None:
        try:
            async with asyncio.timeout(RENEWED_WITHIN):
                fresh = tuple(await renew())
            self._waiting = servers.read(fresh)
        except Exception as error:  # noqa: BLE001 - whatever it was, the servers that are known may do
            _logger.warning("no fresh STUN and TURN servers: %s", str(error) or type(error).__name__)
            self._waiting = servers.read(self.config)
        else:
            self.config = fresh
        self._native.renew_servers(len(self._waiting))
        self.start()

    async def _ask(self, server: servers.Server) -> None:
        addresses: list[tuple[str, int]] = []
        try:
            addresses = await server.addresses()
        except (OSError, UnicodeError) as error:
            reason = str(error) or "its name was not resolved in time"
            self._failed(server.url, "", server.port, UNREACHABLE, reason)
        config = server.config
        arguments = (config.username, config.credential, server.host, config.authorities)
        try:
            # In a thread: for TLS it may have to read the system's certificate authorities.
            await asyncio.to_thread(self._native.server, server.url, server.transport, addresses, *arguments)
        except ValueError as error:
            self._failed(server.url, "", server.port, UNREACHABLE, str(error))
            self._native.server(server.url, "", [], *arguments)

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
