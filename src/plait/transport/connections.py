"""A client's connections, one after another: dialled, seen to their end, and dialled again after a wait."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from plait.transport import network
from plait.transport.reconnect import NEXT, Backoff, Phase
from plait.wire.errors import SessionLost, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.transport.base import Transport
    from plait.transport.conversation import Conversation
    from plait.transport.dial import Dial

State = Literal["connecting", "connected", "resumed", "lost", "closed"]

STEADY_AFTER: Final = 5.0
"""A connection that lived for so many seconds counts as a success: the next break is answered at once."""

_MAY_STILL_COME: Final = 1.0
"""Seconds that a connection has to open after a change of networks; not every change concerns it."""

_LOG: Final = logging.getLogger("plait.client")


class Connections:
    """Keeps a client connected, until something ends that for good.

    Args:
        url: the hub's address, for the log.
        dial: opens a transport.
        converse: begins the conversation on one that has just opened.
        on_state: told of every change.

    Attributes:
        phase: where it stands.
        conversation: over the connection at hand.
        failure: what stood in the way the last time.
    """

    def __init__(
        self,
        url: str,
        dial: Dial,
        *,
        converse: Callable[[Transport], Conversation],
        on_state: Callable[[State], None],
    ) -> None:
        self.phase = Phase.IDLE
        self.conversation: Conversation | None = None
        self.failure = "it did not answer"
        self._url = url
        self._dial = dial
        self._converse = converse
        self._on_state = on_state
        self._changed = asyncio.Event()  # this machine's addresses
        self._awake = asyncio.Event()
        self._awake.set()

    def go(self, event: str, state: State | None = None) -> None:
        """Come to the next phase, and tell of it where it has a name for others."""
        self.phase = NEXT[self.phase, event]
        if state is not None:
            self._on_state(state)

    def pause(self) -> None:
        """Dial no more before `resume`."""
        self._awake.clear()

    def resume(self) -> None:
        """End a pause."""
        self._awake.set()

    async def run(self) -> None:
        """Dial, converse, wait, and again.

        Raises:
            PlaitError: there is no use in dialling again.
        """
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        unwatch = network.on_change(self._network_changed)
        try:
            while True:
                await self._awake.wait()
                began = loop.time()
                self.go("dial", "connecting")
                try:
                    await self._connect()
                except OSError as error:
                    self.failure = str(error) or type(error).__name__
                _LOG.info("%s: %s", self._url, self.failure)
                if loop.time() - began >= STEADY_AFTER:
                    backoff.reset()
                self.go("lost", "lost")
                if self._awake.is_set():
                    await self._wait(backoff.wait())
                else:
                    backoff.reset()
        finally:
            unwatch()

    async def _connect(self) -> None:
        """Dial and see one connection to its end.

        Raises:
            OSError: the hub could not be reached.
            PlaitError: there is no use in dialling again.
        """
        await self._dialled()
        assert self.conversation is not None, "dial must call on_open"  # noqa: S101 - a contract of ours
        code, reason = await asyncio.shield(self.conversation.ended)
        refusal = self.conversation.refusal
        self.conversation = None
        if refusal is not None and not refusal.retry:
            raise refusal
        if code == 1008:
            raise Unauthorized(reason)
        if code == 4001:
            raise SessionLost(reason or "Displaced by another connection")
        self.failure = f"it closed the connection ({code} {reason})"

    async def _dialled(self) -> None:
        """Dial; give it up where the network changes meanwhile, since the old one's answer may never come."""
        self._changed.clear()
        dialling = asyncio.ensure_future(self._dial(self._begin))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((dialling, changed), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((dialling,), timeout=_MAY_STILL_COME)
            if not dialling.done() and self.conversation is None:
                raise ConnectionError("this machine's network has changed")
            await dialling
        finally:
            changed.cancel()
            if not dialling.done():
                dialling.cancel()
                await asyncio.gather(dialling, return_exceptions=True)

    def _begin(self, transport: Transport) -> None:
        if self.phase is Phase.CLOSED:  # closed while it was dialling
            transport.close()
            return
        self.go("opened")
        self.conversation = self._converse(transport)

    async def _wait(self, seconds: float) -> None:
        """Wait before the next try; a network that comes is tried at once."""
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def _network_changed(self) -> None:
        self._changed.set()
        if self.conversation is not None:
            self.conversation.check_address()
