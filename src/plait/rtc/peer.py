"""A peer connection (W3C RTCPeerConnection) on the native engine."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Literal, Self

from plait.rtc import engine as engines
from plait.rtc import servers
from plait.rtc.asking import Asking
from plait.rtc.certificate import Certificate
from plait.rtc.channels import Channels
from plait.rtc.described import Described
from plait.rtc.errors import PeerClosed
from plait.rtc.mdns import LocalNames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from plait import _native
    from plait.rtc import loop
    from plait.rtc.channel import DataChannel
    from plait.rtc.engine import Engine
    from plait.rtc.ice import IceCandidate, IceServer
    from plait.rtc.told import Stats
    from plait.rtc.track import Direction, EncodedFrame, Kind, Transceiver

_logger = logging.getLogger("plait.rtc")


class PeerConnection(Described):
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
        super().__init__(self, tuple(codecs))
        self.candidates_ignored = 0
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

    def _end(self) -> None:
        self._mailbox.detach(self._native.id)
        self._asking.end()
        self._names.end()
        self._replies.fail(PeerClosed(self.close_reason))
        self._channels.end(self.close_reason)
        self._lines.end()
