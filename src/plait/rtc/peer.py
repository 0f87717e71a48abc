"""A peer connection (W3C RTCPeerConnection) on the native engine."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any, Literal, Self

from plait.rtc import loop, servers
from plait.rtc.certificate import Certificate
from plait.rtc.channel import DataChannel
from plait.rtc.errors import NegotiationError, PeerClosed
from plait.rtc.ice import IceCandidate, IceCandidateError, SessionDescription
from plait.rtc.track import EncodedFrame, Transceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from plait import _native
    from plait.rtc.ice import IceServer
    from plait.rtc.track import Direction, Kind

_logger = logging.getLogger("plait.rtc")

State = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]


class PeerConnection:
    """One connection to a far end: media and data channels over ICE, DTLS, SRTP and SCTP.

    All methods and callbacks belong to the event loop in which it was made.

    Attributes:
        certificate: what we show in DTLS.
        connection_state: as in W3C; "failed" and "closed" are final.
        close_reason: why it is over, in words; empty before.
        transceivers: the media lines, ours and the far end's.
        candidates_ignored: remote candidates of no use here (`.local` names, TCP). The far end's checks
            make up for them: what it sends from becomes a candidate by itself.
    """

    def __init__(
        self,
        *,
        certificate: Certificate | None = None,
        ice_servers: Sequence[IceServer] = (),
        ice_transport_policy: Literal["all", "relay"] = "all",
        loopback: bool = True,
        codecs: Sequence[str] = (),
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

        Raises:
            ValueError: the URL of a server is none, or the policy.
        """
        if ice_transport_policy not in ("all", "relay"):
            raise ValueError(f"not an ICE transport policy: {ice_transport_policy!r}")
        self._servers = servers.read(ice_servers)
        self._resolving: list[asyncio.Task[None]] = []
        self.certificate = certificate or Certificate.generate()
        self.ice_servers = tuple(ice_servers)
        self.connection_state: State = "new"
        self.close_reason = ""
        self.candidates_ignored = 0
        self.on_ice_candidate: Callable[[IceCandidate | None], None] | None = None
        self.on_ice_candidate_error: Callable[[IceCandidateError], None] | None = None
        self.on_data_channel: Callable[[DataChannel], None] | None = None
        self.on_track: Callable[[Transceiver], None] | None = None
        self.on_connection_state_change: Callable[[str], None] | None = None
        self._codecs = tuple(codecs)
        self._transceivers: list[Transceiver] = []
        self._channels: dict[int, DataChannel] = {}
        self._keys = itertools.count(1)
        self._requests: dict[int, asyncio.Future[Any]] = {}
        self._request_numbers = itertools.count(1)
        self._changed = asyncio.Event()
        self._mailbox = loop.mailbox()
        self._native: _native.Peer = self._mailbox.peer(
            self.certificate,
            loopback=loopback,
            relay_only=ice_transport_policy == "relay",
            servers=len(self._servers),
        )
        self._mailbox.attach(self._native.id, self)
        self._handlers: tuple[Callable[..., None], ...] = (
            self._on_reply,
            self._on_state,
            self._on_candidate,
            self._on_media,
            self._on_channel_open,
            self._on_channel_data,
            self._on_channel_low,
            self._on_channel_closed,
            self._on_frame,
            self._on_keyframe_request,
            self._on_server_failed,
        )

    @property
    def transceivers(self) -> Sequence[Transceiver]:
        """The media lines."""
        return tuple(self._transceivers)

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
        transceiver = Transceiver(kind, direction, self, tuple(codecs))
        self._transceivers.append(transceiver)
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
        if max_retransmits is not None and max_packet_life_time is not None:
            raise ValueError("max_retransmits and max_packet_life_time exclude each other")
        for number in (max_retransmits, max_packet_life_time):
            if number is not None and not 0 <= number <= 0xFFFF:
                raise ValueError(f"{number} does not fit in 16 bits")
        if negotiated != (id is not None):
            raise ValueError("id is needed for a negotiated channel, and only there")
        if id is not None and not 0 <= id < 0xFFFF:
            raise ValueError(f"{id} is not a stream identifier")
        if id is not None and any(channel.id == id for channel in self._channels.values()):
            raise ValueError(f"stream {id} is in use already")
        if max(len(label.encode()), len(protocol.encode())) > 1000:
            # DCEP allows 65,535, but str0m sends its open message in one packet.
            raise ValueError("label and protocol are limited to 1,000 bytes each")
        key = next(self._keys)
        native = self._native.channel(
            key, label, ordered, max_retransmits, max_packet_life_time, protocol, id
        )
        channel = DataChannel(
            native,
            label=label,
            protocol=protocol,
            ordered=ordered,
            max_retransmits=max_retransmits,
            max_packet_life_time=max_packet_life_time,
            limit=lambda: self.max_message_size,
        )
        channel.id = id
        self._channels[key] = channel
        return channel

    async def create_offer(self) -> SessionDescription:
        """Make an offer of every transceiver and channel, and set it as the local description.

        Host candidates are in it already; `on_ice_candidate` tells them as well.

        Raises:
            NegotiationError: there is nothing to offer, or a codec is not known.
            PeerClosed: the connection is over.
        """
        self._ask_servers()
        new = [transceiver for transceiver in self._transceivers if not transceiver.mid]
        media = [(transceiver.kind, transceiver.direction) for transceiver in new]
        sdp, mids = await self._ask(self._native.offer, media, self._wanted_codecs())
        for transceiver, mid in zip(new, mids, strict=True):
            transceiver.mid = mid
        return SessionDescription("offer", sdp)

    async def accept(self, offer: SessionDescription) -> SessionDescription:
        """Set the far end's offer, and return the answer, which is then set too.

        Its media lines become transceivers (`on_track` is called with each) that send where it wants to
        receive, and the other way round.

        Raises:
            NegotiationError: it is not an offer that can be used; the connection is as it was, or failed.
            PeerClosed: the connection is over.
        """
        self._ask_servers()
        sdp, _ = await self._ask(self._native.accept, offer.sdp, list(self._codecs))
        return SessionDescription("answer", sdp)

    async def set_answer(self, answer: SessionDescription) -> None:
        """Set the far end's answer to our offer.

        Raises:
            NegotiationError: it does not answer an offer of ours.
            PeerClosed: the connection is over.
        """
        await self._ask(self._native.answer, answer.sdp)

    def add_ice_candidate(self, candidate: IceCandidate | None) -> None:
        """Add a candidate of the far end; None and the empty line mean that there are no more.

        It may come before the description that it belongs to. `.local` names are ignored and counted.

        Raises:
            ValueError: it is not a candidate.
        """
        if candidate is None or not candidate.candidate.strip():
            return
        if self.connection_state in ("failed", "closed"):
            return
        if not self._native.add_candidate(candidate.candidate):
            self.candidates_ignored += 1

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

    async def stats(self) -> dict[str, dict[str, Any]]:
        """Return statistics under their W3C names, by object id.

        Those of ICE and RTP are at most a second old.

        Raises:
            PeerClosed: the connection is over.
        """
        report: dict[str, dict[str, Any]] = await self._ask(self._native.stats)
        report["CERT-local"] = {
            "id": "CERT-local",
            "type": "certificate",
            "timestamp": report["T"]["timestamp"],
            "fingerprint": self.certificate.fingerprint.partition(" ")[2],
            "fingerprintAlgorithm": "sha-256",
        }
        return report

    async def close(self) -> None:
        """Close it: the far end is told, callbacks stop after the last state change. Idempotent."""
        if self.connection_state in ("failed", "closed"):
            return
        self._native.close()
        await self.closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # For transceivers.

    def send_frame(self, mid: str, frame: EncodedFrame) -> bool:
        """Send a frame on a media line; see `Transceiver.send`."""
        if self.connection_state not in ("connected", "disconnected"):
            return False
        return self._native.send_frame(mid, frame.codec, frame.timestamp, frame.data)

    def request_keyframe(self, mid: str) -> None:
        """Ask for a keyframe on a media line; see `Transceiver.request_keyframe`."""
        if self.connection_state in ("connected", "disconnected"):
            self._native.request_keyframe(mid)

    # What follows is called by the mailbox.

    def handle(self, kind: int, arguments: tuple[Any, ...]) -> None:
        """Take one event of the engine."""
        self._handlers[kind](*arguments)

    def _on_reply(self, number: int, answer: Any, error: str | None) -> None:
        future = self._requests.pop(number, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(NegotiationError(error))

    def _on_state(self, state: State, reason: str) -> None:
        self.connection_state = state
        self._changed.set()
        self._changed.clear()
        if state in ("failed", "closed"):
            self.close_reason = reason
            self._end()
        if self.on_connection_state_change is not None:
            self.on_connection_state_change(state)

    def _on_candidate(self, line: str | None) -> None:
        if self.on_ice_candidate is not None:
            mid = next((t.mid for t in self._transceivers if t.mid), None)
            self.on_ice_candidate(None if line is None else IceCandidate(line, mid, 0))

    def _on_server_failed(self, url: str, address: str, port: int, code: int, text: str) -> None:
        _logger.warning("%s (%s port %d) is of no use: %d %s", url, address, port, code, text)
        if self.on_ice_candidate_error is not None:
            self.on_ice_candidate_error(IceCandidateError(url, address, port, code, text))

    def _on_media(
        self, mid: str, kind: Kind, direction: Direction, codecs: tuple[str, ...], remote: bool
    ) -> None:
        transceiver = next((t for t in self._transceivers if t.mid == mid), None)
        new = transceiver is None
        if transceiver is None:
            transceiver = Transceiver(kind, direction, self)
            transceiver.mid = mid
            self._transceivers.append(transceiver)
        transceiver.direction = direction
        transceiver.codecs = codecs
        if new and remote and self.on_track is not None:
            self.on_track(transceiver)

    def _on_channel_open(  # noqa: PLR0917 - an event of the engine has its members in a tuple
        self,
        key: int,
        native: _native.Channel,
        label: str,
        protocol: str,
        stream: int,
        reliability: tuple[bool, int | None, int | None],
        remote: bool,
    ) -> None:
        if not remote:
            if (mine := self._channels.get(key)) is not None:
                mine._opened(stream)  # noqa: SLF001 - the two classes are one unit
            return
        ordered, max_retransmits, max_packet_life_time = reliability
        channel = DataChannel(
            native,
            label=label,
            protocol=protocol,
            ordered=ordered,
            max_retransmits=max_retransmits,
            max_packet_life_time=max_packet_life_time,
            limit=lambda: self.max_message_size,
        )
        self._channels[key] = channel
        channel._opened(stream)  # noqa: SLF001 - the two classes are one unit
        if self.on_data_channel is not None:
            self.on_data_channel(channel)

    def _on_channel_data(self, key: int, message: bytes | str, size: int) -> None:
        if (channel := self._channels.get(key)) is not None:
            channel._received(message, size)  # noqa: SLF001 - the two classes are one unit

    def _on_channel_low(self, key: int) -> None:
        if (channel := self._channels.get(key)) is not None:
            channel._low()  # noqa: SLF001 - the two classes are one unit

    def _on_channel_closed(self, key: int) -> None:
        if (channel := self._channels.pop(key, None)) is not None:
            channel._closed()  # noqa: SLF001 - the two classes are one unit

    def _on_frame(  # noqa: PLR0917 - as above
        self, mid: str, data: bytes, timestamp: int, keyframe: bool, codec: str, contiguous: bool
    ) -> None:
        frame = EncodedFrame(data, timestamp, keyframe, codec)
        for transceiver in self._transceivers:
            if transceiver.mid == mid:
                transceiver._received(frame, contiguous=contiguous)  # noqa: SLF001 - one unit

    def _on_keyframe_request(self, mid: str) -> None:
        for transceiver in self._transceivers:
            if transceiver.mid == mid and transceiver.on_keyframe_request is not None:
                transceiver.on_keyframe_request()

    def _ask_servers(self) -> None:
        waiting, self._servers = self._servers, []
        self._resolving += [asyncio.ensure_future(self._ask_server(server)) for server in waiting]

    async def _ask_server(self, server: servers.Server) -> None:
        addresses: list[tuple[str, int]] = []
        try:
            addresses = await server.addresses()
        except (OSError, UnicodeError) as error:
            reason = str(error) or "its name was not resolved in time"
            self._on_server_failed(server.url, "", server.port, 701, reason)
        config = server.config
        arguments = (config.username, config.credential, server.host, config.authorities)
        try:
            # In a thread: for TLS it may have to read the system's certificate authorities.
            await asyncio.to_thread(self._native.server, server.url, server.transport, addresses, *arguments)
        except ValueError as error:
            self._on_server_failed(server.url, "", server.port, 701, str(error))
            self._native.server(server.url, "", [], *arguments)

    def _check(self) -> None:
        if self.connection_state in ("failed", "closed"):
            raise PeerClosed(self.close_reason)

    def _wanted_codecs(self) -> list[str]:
        wanted = [name for transceiver in self._transceivers for name in transceiver.wanted]
        if not wanted:
            return list(self._codecs)
        # A line that does not say takes the usual ones of its kind.
        for transceiver in self._transceivers:
            if not transceiver.wanted:
                wanted += ["opus"] if transceiver.kind == "audio" else ["H264", "VP8"]
        return list(dict.fromkeys(wanted))

    async def _ask(self, method: Callable[..., None], *arguments: Any) -> Any:
        self._check()
        number = next(self._request_numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        try:
            method(number, *arguments)
            return await future
        finally:
            self._requests.pop(number, None)

    def _end(self) -> None:
        self._mailbox.detach(self._native.id)
        for task in self._resolving:
            task.cancel()
        for future in self._requests.values():
            if not future.done():
                future.set_exception(PeerClosed(self.close_reason))
        for channel in list(self._channels.values()):
            channel._closed(self.close_reason)  # noqa: SLF001 - the two classes are one unit
        self._channels.clear()
        for transceiver in self._transceivers:
            transceiver._end()  # noqa: SLF001 - the two classes are one unit
