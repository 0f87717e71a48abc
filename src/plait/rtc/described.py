"""The descriptions of a peer connection: offers, answers, and when the next offer is due."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from plait.rtc.errors import NegotiationError, PeerClosed
from plait.rtc.ice import SessionDescription
from plait.rtc.offers import Offers
from plait.rtc.replies import Replies
from plait.rtc.sdp import FarUfrag
from plait.rtc.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait import _native
    from plait.rtc.asking import Asking, Renew
    from plait.rtc.channels import Channels
    from plait.rtc.mdns import LocalNames
    from plait.rtc.track import LineOwner

SignalingState = Literal["stable", "have-local-offer", "closed"]


class Described(Told):
    """The part of a peer connection that negotiates.

    Attributes:
        on_negotiation_needed: called when an offer is due.
        renew_ice_servers: see `PeerConnection`.
    """

    # Made by the connection, which has their settings.
    _native: _native.Peer
    _asking: Asking
    _channels: Channels
    _names: LocalNames

    def __init__(self, owner: LineOwner, codecs: tuple[str, ...]) -> None:
        super().__init__(owner)
        self.on_negotiation_needed: Callable[[], None] | None = None
        self.renew_ice_servers: Renew | None = None
        self._codecs = codecs
        self._offers = Offers(self._lines)
        self._looking = False
        self._replies = Replies()
        self._far_ufrag = FarUfrag()

    @property
    def signaling_state(self) -> SignalingState:
        """Whether an offer of ours waits for its answer."""
        if self.connection_state in ("failed", "closed"):
            return "closed"
        return "have-local-offer" if self._offers.out else "stable"

    async def create_offer(self, *, ice_restart: bool = False) -> SessionDescription:
        """Make an offer of everything that is to be negotiated, and set it as the local description.

        Host candidates are in it already; `on_ice_candidate` tells them as well.

        Args:
            ice_restart: with new ICE credentials and candidates (RFC 8445, section 9); what flows goes on
                over the old pair until a new one works.

        Raises:
            NegotiationError: there is nothing to offer, a codec is not known, an offer is out already, or
                the far end's offer came first.
            PeerClosed: the connection is over.
        """
        self._asking.start()
        begun = self._offers.begin(restart=ice_restart, channels=bool(self._channels))
        if begun.restart:
            self.renew_servers()
        codecs = self._lines.wanted_codecs() or list(self._codecs)
        try:
            sdp, mids = await self._ask(self._native.offer, *begun.asked, begun.restart, codecs)
        except NegotiationError:
            self._offers.fail(begun)
            raise
        self._offers.made(begun, mids)
        return SessionDescription("offer", sdp)

    def rollback(self) -> None:
        """Withdraw an offer that is not answered yet; what it said is in the next one."""
        if self._offers.out:
            self._native.rollback()
            self._offers.undo()
            self.negotiation_needed()

    def renew_servers(self) -> None:
        """Ask `renew_ice_servers` for fresh servers now, as an ICE restart does by itself; nothing waits."""
        if self.renew_ice_servers is not None:
            self._asking.renew(self.renew_ice_servers)

    def restart_ice(self) -> None:
        """Have the next offer restart ICE, and say that one is due.

        Done by itself where this machine's addresses change.
        """
        self._offers.restart_is_due = True
        self.negotiation_needed()

    async def accept(self, offer: SessionDescription) -> SessionDescription:
        """Set the far end's offer, and return the answer, which is then set too.

        Its media lines become transceivers (`on_track` is called with each) that send where it wants to
        receive, and the other way round. An offer of ours that waits for its answer is withdrawn.

        Raises:
            NegotiationError: it is not an offer that can be used; the connection is as it was, or failed.
            PeerClosed: the connection is over.
        """
        self._asking.start()
        if self._offers.out:
            self._offers.undo()
        if self._far_ufrag.restarts(offer.sdp):
            self.renew_servers()
        sdp, _ = await self._ask(self._native.accept, offer.sdp, list(self._codecs))
        self._lines.described(offer.sdp)
        self._names.take_all(offer.sdp)
        self._offers.channels_offered |= "m=application" in offer.sdp
        self.negotiation_needed()
        return SessionDescription("answer", sdp)

    async def set_answer(self, answer: SessionDescription) -> None:
        """Set the far end's answer to our offer.

        Raises:
            NegotiationError: it does not answer an offer of ours.
            PeerClosed: the connection is over.
        """
        mark = self._offers.mark
        self._lines.described(answer.sdp)
        self._far_ufrag.note(answer.sdp)
        await self._ask(self._native.answer, answer.sdp)
        self._names.take_all(answer.sdp)
        if self._offers.answered(mark):
            self.negotiation_needed()

    def negotiation_needed(self) -> None:
        """Look soon whether an offer is due, and tell `on_negotiation_needed` (W3C WebRTC, section 4.7.3)."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        due = self._offers.due(channels=bool(self._channels))
        if due and self.signaling_state == "stable" and self.on_negotiation_needed is not None:
            self.on_negotiation_needed()

    def _check(self) -> None:
        if self.connection_state in ("failed", "closed"):
            raise PeerClosed(self.close_reason)

    async def _ask(self, method: Callable[..., None], *arguments: Any) -> Any:
        self._check()
        number, future = self._replies.expect()
        try:
            method(number, *arguments)
            return await future
        finally:
            future.cancel()
