"""Ends the sessions of credentials that were taken back, here or by another process (`plait hub revoke`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from plait.hub.clients import LiveClients
    from plait.hub.store.credentials import Credentials

LOOK_EVERY_S: Final = 0.5

_log = structlog.get_logger("plait.hub")


class Revocations:
    """Looks in the store twice a second, since another process may write there. `async with` runs it.

    Args:
        credentials: where it is written what was taken back.
        clients: whose sessions end.
    """

    def __init__(self, credentials: Credentials, clients: LiveClients) -> None:
        self._credentials = credentials
        self._clients = clients
        self._seen = credentials.revocations()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch(), name="revocations")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                self._seen, taken_back = self._credentials.revoked_since(self._seen)
            except SQLAlchemyError as error:
                _log.warning("cannot look for credentials taken back", error=str(error))
                continue
            if taken_back:
                self._clients.revoke(frozenset(taken_back))
