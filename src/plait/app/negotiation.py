"""The WebRTC side of an app's call: makes the peer connection and offers what the program asks for.

Only imported once a program asks for media or channels: an app without them needs no engine.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from plait.rtc import (
    IceCandidate,
    IceServer,
    NegotiationError,
    PeerConnection,
    RtcError,
    SessionDescription,
)
from plait.wire.errors import InvalidMessage, PlaitError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Literal

    from plait.rtc import DataChannel, Transceiver
    from plait.transport.signaling import Candidate, Signaling


REFUSALS: Final = 10
"""Offers that may be refused one after another on a call that stands, before the call is given up."""

ANSWER_MAY_FOLLOW: Final = 1.0
"""Seconds that an offer's answer has after a bye."""


class Negotiation:
    """The peer connection of one call, and its offers.

    Args:
        call: carries the signals.

    Attributes:
        peer: the connection.
        error: why the other end did not answer, once it is known.
    """

    def __init__(self, call: Signaling) -> None:
        self.error: Exception | None = None
        self.peer = PeerConnection(ice_servers=[IceServer.from_dict(server) for server in call.ice_servers])
        self._call = call
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale = False  # something was added that the other end has not been offered
        self._offering: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # the first offer was answered, or will not be
        self._has_channels = False
        self._early: list[IceCandidate | None] | None = []  # ours, until our offer is on its way
        self.peer.on_ice_candidate = self._found
        self.peer.renew_ice_servers = self._renewed
        self.peer.on_negotiation_needed = self._offer_soon  # where this machine changes networks
        call.on_candidate = self._add
        call.on_bye = self._gone
        self._start(self._answer_offers())

    async def channel(self, label: str, **options: Any) -> DataChannel:
        """Make a data channel, offer it where none was offered before, and wait until it is open."""
        channel = self.peer.create_data_channel(label, **options)
        if not self._has_channels:
            self._has_channels = True
            self._offer_soon()
        try:
            await channel.opened()
        except RtcError:
            if self.error is not None:
                raise self.error from None
            raise
        return channel

    def receive(self, kind: Literal["audio", "video"]) -> Transceiver:
        """Add a media line that the other end sends on."""
        transceiver = self.peer.add_transceiver(kind, direction="recvonly")
        self._offer_soon()
        return transceiver

    async def connected(self) -> None:
        """Wait until the connection stands; raises `error`, or PeerClosed."""
        if self._offering is not None:
            await self._settled.wait()
        if self.error is not None:
            raise self.error
        await self.peer.connected()

    @staticmethod
    def explains(error: BaseException | None) -> bool:
        """Return whether a block that ended with `error` may have ended because the call did."""
        return error is None or isinstance(error, RtcError)

    async def close(self) -> None:
        """Close the connection and what works on it."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peer.close()

    async def _renewed(self) -> list[IceServer]:
        return [IceServer.from_dict(server) for server in await self._call.renewed_servers()]

    # Candidates

    def _found(self, candidate: IceCandidate | None) -> None:
        if self._early is None:
            self._call.send_candidate(candidate)
        else:
            self._early.append(candidate)

    def _add(self, candidate: Candidate | None) -> None:
        if candidate is None:
            self.peer.add_ice_candidate(None)
            return
        try:
            self.peer.add_ice_candidate(
                IceCandidate(candidate.candidate, candidate.sdp_mid, candidate.sdp_m_line_index)
            )
        except ValueError:
            return  # one bad candidate is one path fewer, not the end of a call

    def _gone(self, reason: str) -> None:
        self._start(self._end(reason))

    async def _end(self, reason: str) -> None:
        """Close after the other end's bye; an answer that is still on its way may say better why."""
        if self._offering is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), ANSWER_MAY_FOLLOW)
        if self.error is None and not self._settled.is_set():
            self.error = RtcError(reason or "the other end has ended the call")
        await self.peer.close()

    # Offers

    def _offer_soon(self) -> None:
        self._stale = True
        if self._offering is None or self._offering.done():
            self._offering = self._start(self._offer())

    async def _offer(self) -> None:
        refused = 0
        try:
            while self._stale:
                self._stale = False
                try:
                    await self._offer_once()
                except (PlaitError, NegotiationError):
                    refused += 1
                    if not self._settled.is_set() or self._call.ended or refused > REFUSALS:
                        raise
                    # On a call that stands: the other end's offer came first. Ours is withdrawn, and what is
                    # still due is told again.
                    self.peer.rollback()
                    await asyncio.sleep(0.05 * refused)
        except (PlaitError, RtcError) as error:
            self.error = self.error or error
            await self.peer.close()
        finally:
            self._settled.set()

    async def _offer_once(self) -> None:
        offer = await self.peer.create_offer()
        answering = asyncio.ensure_future(self._call.offer(offer.sdp))
        await asyncio.sleep(0)  # the offer is on its way; candidates may follow it
        early, self._early = self._early, None
        for candidate in early or ():
            self._call.send_candidate(candidate)
        await self.peer.set_answer(SessionDescription("answer", await answering))

    async def _answer_offers(self) -> None:
        async for offer in self._call.offers():
            try:
                offer.answer((await self.peer.accept(SessionDescription("offer", offer.sdp))).sdp)
            except RtcError as error:
                offer.refuse(InvalidMessage(f"The offer cannot be used: {error}", field="/data/sdp"))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"call {self._call.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
