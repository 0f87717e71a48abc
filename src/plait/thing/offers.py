"""Offers from a thing's end of a call: an ICE restart, when the device has come to another network."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from plait.rtc import RtcError, SessionDescription
from plait.wire.errors import PlaitError

if TYPE_CHECKING:
    from plait.rtc import PeerConnection
    from plait.thing.call import Call

log = logging.getLogger("plait.thing")


class Offers:
    """Offers over the call's signals what becomes due on the connection.

    The viewer is the polite end: where both offer at once, its offer is refused, and it takes ours.

    Args:
        call: carries the offer.
        peer: the connection; `on_negotiation_needed` is taken.
    """

    def __init__(self, call: Call, peer: PeerConnection) -> None:
        self._call = call
        self._peer = peer
        self._offering: asyncio.Task[None] | None = None
        peer.on_negotiation_needed = self._needed

    @property
    def out(self) -> bool:
        """Whether one waits for its answer."""
        return self._offering is not None and not self._offering.done()

    def close(self) -> None:
        """Offer nothing any more."""
        self._peer.on_negotiation_needed = None
        if self._offering is not None:
            self._offering.cancel()

    def _needed(self) -> None:
        if not self.out:
            self._offering = asyncio.create_task(self._offer(), name=f"offer in call {self._call.id}")

    async def _offer(self) -> None:
        try:
            offer = await self._peer.create_offer()
            answer = await self._call.offer(offer.sdp)
            await self._peer.set_answer(SessionDescription("answer", answer))
        except (PlaitError, RtcError) as error:
            # It stays due: the viewer's next offer withdraws this one.
            log.info("the viewer did not take an offer: %s", error)
