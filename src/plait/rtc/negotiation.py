"""Perfect negotiation: both ends may offer at any time (W3C WebRTC, section 10.7)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from plait.rtc.errors import NegotiationError, RtcError
from plait.rtc.ice import SessionDescription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from plait.rtc.ice import IceCandidate
    from plait.rtc.peer import PeerConnection

    Signal = SessionDescription | IceCandidate | None

_logger = logging.getLogger("plait.rtc")


class PerfectNegotiation:
    """Keeps two peer connections negotiated, whichever of them adds, changes or restarts what, and when.

    Where both offer at once, the impolite end's offer holds; the polite one withdraws its own and offers
    again afterwards. Exactly one of the two is polite.

    It takes `on_negotiation_needed` and `on_ice_candidate` of the connection.

    Args:
        peer: this end's connection.
        send: carries a description or a candidate (None: no more of them) to the far end's `receive`, in
            order; may be a coroutine function.
        polite: whether this end gives way.
    """

    def __init__(
        self,
        peer: PeerConnection,
        send: Callable[[Signal], Awaitable[None] | None],
        *,
        polite: bool,
    ) -> None:
        self._peer = peer
        self._send = send
        self._polite = polite
        self._making = False
        self._outgoing: deque[Signal] = deque()
        self._delivering = False
        self._receiving = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        peer.on_negotiation_needed = self._needed
        peer.on_ice_candidate = self._tell

    async def receive(self, signal: Signal) -> None:
        """Take what the far end's `send` was given.

        Raises:
            NegotiationError: the description cannot be used.
            ValueError: the candidate is none.
            PeerClosed: the connection is over.
        """
        if not isinstance(signal, SessionDescription):
            self._peer.add_ice_candidate(signal)
            return
        async with self._receiving:
            if signal.type == "answer":
                await self._peer.set_answer(signal)
                return
            collision = self._making or self._peer.signaling_state != "stable"
            if collision and not self._polite:
                return
            self._tell(await self._peer.accept(signal))

    def _needed(self) -> None:
        self._start(self._offer())

    async def _offer(self) -> None:
        self._making = True
        try:
            self._tell(await self._peer.create_offer())
        except NegotiationError as error:
            # The far end's offer came first; what is still needed after it is told again.
            _logger.debug("no offer: %s", error)
        except RtcError as error:
            _logger.debug("no offer: the connection is over: %s", error)
        finally:
            self._making = False

    def _tell(self, signal: Signal) -> None:
        self._outgoing.append(signal)
        if not self._delivering:
            self._delivering = True
            self._start(self._deliver())

    async def _deliver(self) -> None:
        """Send in order, one after the other."""
        try:
            while self._outgoing:
                sending = self._send(self._outgoing.popleft())
                if inspect.isawaitable(sending):
                    await sending
        except Exception:
            _logger.exception("signaling failed: the far end did not get all that was told")
        finally:
            self._delivering = False

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
