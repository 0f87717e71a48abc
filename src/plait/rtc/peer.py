"""A peer connection (W3C RTCPeerConnection) on the native engine."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, Literal, Self

from plait.rtc import engine as engines
from plait.rtc import servers
from plait.rtc.asking import Asking
from plait.rtc.certificate import Certificate
from plait.rtc.channels import Channels
from plait.rtc.errors import NegotiationError, PeerClosed
from plait.rtc.ice import SessionDescription
from plait.rtc.mdns import LocalNames
from plait.rtc.offers import Offers
from plait.rtc.replies import Replies
from plait.rtc.sdp import FarUfrag
from plait.rtc.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from plait import _native
    from plait.rtc import loop
    from plait.rtc.asking import Renew
    from plait.rtc.channel import DataChannel
    from plait.rtc.engine import Engine
    from plait.rtc.ice import IceCandidate, IceServer
    from plait.rtc.told import Stats
    from plait.rtc.track import Direction, EncodedFrame, Kind, Transceiver

_logger = logging.getLogger("plait.rtc")

SignalingState = Literal["stable", "have-local-offer", "closed"]


class PeerConnection(Told):
    """One connection to a far end: media and data channels over ICE, DTLS, SRTP and SCTP.

    All methods and callbacks belong to the event loop in which it was made.

    Attributes:
        certificate: what we show in DTLS.
        engine: what drives it.
        connection_state: as in W3C; "failed" and "closed" are final.
        close_reason: why it is over, in words; empty before.
        renew_ice_servers: where it is set, each ICE restart awaits it, beside everything else, for fresh STUN
            and TURN servers: credentials of the old ones may have run out.
        transceivers: the media lines, ours and the far end's.
        candidates_ignored: remote candidates of no use here (TCP, `.local` names that nobody on this
            network has). The far end's checks make up for them: what it sends from becomes a candidate.
    """

    def __init__(
        self,
        *,
        certificate: Certificate | None = None,
        ice_servers: Sequence[IceServer] = (),
        ice_transport_policy: Literal["all", "relay"] = "all",
        loopback: bool = True,
        codecs: Sequence[str] = (),
        packets: bool = False,
        initial_bitrate: int | None = None,
        capture: str | os.PathLike[str] | None = None,
        engine: Engine | None = None,
        beside: PeerConnection | None = None,
    ) -> None:
        """Make a connection; nothing is sent before an offer is made or accepted.

        Args:
            certificate: made for this connection where none is given.
            ice_servers: STUN and TURN servers; all of them are asked when the first offer is made or
                accepted, and delay nothing.
            ice_transport_policy: "relay" hides our addresses: only relayed candidates are gathered.
            loopback: offer 127.0.0.1 and ::1 as well.
            codecs: the codecs to negotiate ("H264", "VP8", "opus", also "H265", "VP9", "AV1", "PCMU",
                "PCMA"); H264, VP8 and opus where none are given.
            packets: media stays packets, to be forwarded (`Transceiver.forward_to`): needed of a source. No
                frames can be sent or read here.
            initial_bitrate: in bits a second; switches transport-wide congestion control on, with this as
                its first estimate, and the pacer, which sends no faster than the estimate. For media whose
                sender follows `on_bandwidth_estimate`; data channels have SCTP's own control.
            capture: a file, not there yet, for all packets as they are under the encryption, to be read with
                Wireshark (pcapng). For debugging alone: whoever reads it sees and hears the call, and
                writing it slows the engine down.
            engine: what drives it; the process's own where none is given.
            beside: another connection, whose engine and thread drive this one too; forwarding needs that.

        Raises:
            ValueError: the URL of a server is none, or the policy; or `beside` has another engine.
            OSError: the capture cannot be written, or is there already.
            RuntimeError: the engine is closed.
        """
        if ice_transport_policy not in ("all", "relay"):
            raise ValueError(f"not an ICE transport policy: {ice_transport_policy!r}")
        count = len(servers.read(ice_servers))
        self.certificate = certificate or Certificate.generate()
        super().__init__(self)
        self.candidates_ignored = 0
        self.on_negotiation_needed: Callable[[], None] | None = None
        self._codecs = tuple(codecs)
        self._offers = Offers(self._lines)
        self._looking = False
        self._replies = Replies()
        if beside is not None and engine not in (None, beside.engine):
            raise ValueError("`beside` is a connection of another engine")
        self.engine: Engine = beside.engine if beside else engine or engines.default()
        self._mailbox = self.engine.mailbox()
        self._native: _native.Peer = self._mailbox.peer(
            self.certificate,
            loopback=loopback,
            relay_only=ice_transport_policy == "relay",
            servers=count,
            packets=packets,
            initial_bitrate=initial_bitrate,
            capture=None if capture is None else os.fspath(capture),
            beside=beside._native if beside else None,  # noqa: SLF001 - the same class
        )
        self._mailbox.attach(self._native.id, self)
        if capture is not None:
            _logger.warning("everything that this connection carries is written, DECRYPTED, to %s", capture)
        self._asking = Asking(self._native, ice_servers, self._on_server_failed)
        self._far_ufrag = FarUfrag()
        self.renew_ice_servers: Renew | None = None
        self._channels = Channels(self._native)
        self._names = LocalNames(self._native.add_candidate, self._ignore_candidate)
        self._listen(self._replies, self._channels)

    @property
    def ice_servers(self) -> Sequence[IceServer]:
        """The STUN and TURN servers as they were last given."""
        return self._asking.config

    @property
    def transceivers(self) -> Sequence[Transceiver]:
        """The media lines."""
        return tuple(self._lines)

    @property
    def signaling_state(self) -> SignalingState:
        """Whether an offer of ours waits for its answer."""
        if self.connection_state in ("failed", "closed"):
            return "closed"
        return "have-local-offer" if self._offers.out else "stable"

    @property
    def on_data_channel(self) -> Callable[[DataChannel], None] | None:
        """Called with each channel that the far end has made."""
        return self._channels.on_new

    @on_data_channel.setter
    def on_data_channel(self, handler: Callable[[DataChannel], None] | None) -> None:
        self._channels.on_new = handler

    @property
    def max_message_size(self) -> int:
        """The longest data channel message that the far end takes, in bytes; 0 until it has said."""
        return self._native.max_message_size

    def add_transceiver(
        self, kind: Kind, *, direction: Direction = "sendrecv", codecs: Sequence[str] = ()
    ) -> Transceiver:
        """Add a media line to the next offer.

        Args:
            kind: "audio" or "video".
            direction: seen from here.
            codecs: narrows what is offered. Codecs are negotiated for the connection as a whole: all
                lines of one kind share them.
        """
        self._check()
        transceiver = self._lines.add(kind, direction, tuple(codecs))
        self.negotiation_needed()
        return transceiver

    def create_data_channel(
        self,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time: int | None = None,
        protocol: str = "",
        negotiated: bool = False,
        id: int | None = None,  # noqa: A002 - W3C's name
    ) -> DataChannel:
        """Make a data channel; with the next offer, or at once where channels are negotiated already.

        Args:
            label: any text, up to 65,535 bytes.
            ordered: deliver in the order of sending.
            max_retransmits: give a message up after so many.
            max_packet_life_time: or after so many milliseconds; not both.
            protocol: any text, for the application.
            negotiated: both ends make it, with the same `id`; nothing is sent to announce it.
            id: the SCTP stream identifier, 0 to 65,534; needed with `negotiated`, not allowed without.

        Raises:
            ValueError: the options contradict each other, or are out of range.
            PeerClosed: the connection is over.
        """
        self._check()
        channel = self._channels.make(
            label,
            ordered=ordered,
            max_retransmits=max_retransmits,
            max_packet_life_time=max_packet_life_time,
            protocol=protocol,
            negotiated=negotiated,
            id=id,
        )
        self.negotiation_needed()
        return channel

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

    def add_ice_candidate(self, candidate: IceCandidate | None) -> None:
        """Add a candidate of the far end; None and the empty line mean that there are no more.

        It may come before the description that it belongs to. A `.local` name is resolved first.

        Raises:
            ValueError: it is not a candidate.
        """
        if candidate is None or not candidate.candidate.strip():
            return
        if self.connection_state in ("failed", "closed"):
            return
        line = candidate.candidate
        if not self._native.add_candidate(line) and not self._names.take(line):
            self.candidates_ignored += 1

    def wish_bitrate(self, desired: int) -> None:
        """Say what would be sent if the path carried it, in bits a second: estimates probe up to there.

        Only of use with `initial_bitrate`.
        """
        self._native.wish_bitrate(desired)

    def _ignore_candidate(self) -> None:
        self.candidates_ignored += 1
        self._native.ignore_candidate()

    async def connected(self) -> None:
        """Wait until the connection stands.

        Raises:
            PeerClosed: it is over; the message is the reason.
        """
        while self.connection_state not in ("connected", "disconnected"):
            self._check()
            await self._changed.wait()

    async def closed(self) -> str:
        """Wait until the connection is over, and return the reason."""
        while self.connection_state not in ("failed", "closed"):
            await self._changed.wait()
        return self.close_reason

    async def stats(self) -> Stats:
        """Return statistics under their W3C names, by object id.

        Those of ICE and RTP are at most a second old. Of a connection that is over: the last ones.

        Raises:
            PeerClosed: it is over, and has left none (the engine was gone before it).
        """
        if self._last_stats is not None:
            return self._last_stats
        report: Stats = await self._ask(self._native.stats)
        return report

    async def close(self) -> None:
        """Close it: the far end is told, callbacks stop after the last state change. Idempotent."""
        if self.connection_state in ("failed", "closed"):
            return
        self._native.close()
        await self.closed()
        await self._names.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # For transceivers, as `negotiation_needed` is.

    @property
    def number(self) -> int:
        """The engine's number of this connection."""
        return self._native.id

    def make_forwarder(self) -> tuple[loop.Mailbox, _native.Forwarder]:
        """Make a forwarder in the engine's thread of this connection."""
        return self._mailbox, self._mailbox.forwarder(self._native)

    def send_frame(self, mid: str, frame: EncodedFrame) -> bool:
        """Send a frame on a media line; see `Transceiver.send`."""
        if self.connection_state not in ("connected", "disconnected"):
            return False
        return self._native.send_frame(mid, frame.codec, frame.timestamp, frame.data)

    def request_keyframe(self, mid: str) -> None:
        """Ask for a keyframe on a media line; see `Transceiver.request_keyframe`."""
        if self.connection_state in ("connected", "disconnected"):
            self._native.request_keyframe(mid)

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

    def _end(self) -> None:
        self._mailbox.detach(self._native.id)
        self._asking.end()
        self._names.end()
        self._replies.fail(PeerClosed(self.close_reason))
        self._channels.end(self.close_reason)
        self._lines.end()
