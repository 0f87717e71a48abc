"""Encoded media of one media line (W3C RTCRtpTransceiver, with frames instead of tracks)."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from plait.rtc.errors import NoCommonCodec, PeerClosed
from plait.rtc.forward import Forwarder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plait import _native
    from plait.rtc.forward import Forwarding
    from plait.rtc.loop import Mailbox

Kind = Literal["audio", "video"]
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

# Received frames that may wait for the application: about four seconds of video, or of 20 ms audio.
_MOST_WAITING = 120


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One encoded frame.

    Attributes:
        data: H.264 or H.265: an Annex B access unit; VP8, VP9, AV1: a frame; Opus: a packet.
        timestamp: in units of the RTP clock (90 kHz for video, 48 kHz for Opus), 64 bits, never wraps.
        keyframe: decodable by itself.
        codec: "H264", "VP8", "opus", …; filled in on frames received, and may be left out when sending
            to mean the first that was negotiated.
    """

    data: bytes
    timestamp: int
    keyframe: bool = False
    codec: str = ""


class LineOwner(Protocol):
    """What a transceiver needs of its peer connection."""

    def negotiation_needed(self) -> None:
        """Tell the application that an offer is due."""

    @property
    def number(self) -> int:
        """The engine's number of the connection."""

    def send_frame(self, mid: str, frame: EncodedFrame) -> bool:
        """Send a frame on a media line."""

    def make_forwarder(self) -> tuple[Mailbox, _native.Forwarder]:
        """Make a forwarder in the engine's thread of this connection."""

    def request_keyframe(self, mid: str) -> None:
        """Ask for a keyframe on a media line."""


class Transceiver:
    """One media line: frames out, frames in.

    Attributes:
        mid: its name in SDP; empty until it is offered.
        kind: "audio" or "video".
        direction: as it should be, seen from here; set, it is in the next offer. Where the far end changes
            a line, this follows.
        current_direction: as negotiated; None before.
        stopped: ended for good, by either side.
        codecs: the negotiated codecs in order of preference; empty until then, and where the two ends
            have none in common.
        theirs: the codecs that the far end's description names.
        on_keyframe_request: called when the far end needs a keyframe from us.
        frames_dropped: received frames that the application was too slow for.
    """

    def __init__(
        self, kind: Kind, direction: Direction, owner: LineOwner, wanted: tuple[str, ...] = ()
    ) -> None:
        self.mid = ""
        self.kind: Kind = kind
        self.current_direction: Direction | None = None
        self.stopped = False
        self.wishes = False  # the next offer has to say something of it
        self._direction: Direction = direction
        self.codecs: tuple[str, ...] = ()
        self.theirs: tuple[str, ...] = ()
        self.wanted = wanted
        self.on_keyframe_request: Callable[[], None] | None = None
        self.frames_dropped = 0
        self._owner = owner
        self._forwarder: Forwarder | None = None
        self._frames: deque[EncodedFrame] = deque()
        # After a gap nothing is decodable before the next keyframe.
        self._broken = False
        self._reader: asyncio.Future[None] | None = None
        self._ended = False

    @property
    def codec(self) -> str | None:
        """The first negotiated codec; None before the negotiation, or if there is none in common."""
        return self.codecs[0] if self.codecs else None

    @property
    def direction(self) -> Direction:
        """As it should be; what is `current_direction` holds until the next negotiation."""
        return self._direction

    @direction.setter
    def direction(self, direction: Direction) -> None:
        if direction not in ("sendrecv", "sendonly", "recvonly", "inactive"):
            raise ValueError(f"not a direction: {direction!r}")
        if self.stopped:
            raise ValueError("the line is stopped")
        if direction != self._direction:
            self._direction = direction
            self.wishes = bool(self.mid)
            self._owner.negotiation_needed()

    def stop(self) -> None:
        """End this line for good, with the next offer; nothing is sent from now on. Idempotent."""
        if not self.stopped:
            self._direction = "inactive"
            self.stopped = True
            self.wishes = bool(self.mid)
            self._end()
            self._owner.negotiation_needed()

    @property
    def sends(self) -> bool:
        """Whether frames may go out."""
        return self._may("sendonly")

    @property
    def receives(self) -> bool:
        """Whether frames may come in."""
        return self._may("recvonly")

    def _may(self, way: Direction) -> bool:
        # What is not wanted any more ends now; what is newly wanted begins when it is negotiated.
        both = (way, "sendrecv")
        return self._direction in both and self.current_direction in (*both, None)

    def send(self, frame: EncodedFrame) -> bool:
        """Send a frame; never waits.

        Returns:
            False if it was dropped: not connected, not a sending line, or too much waits already.

        Raises:
            NoCommonCodec: its codec was not negotiated; or none was, where it names none.
        """
        if not self.mid or self.current_direction is None:
            return False
        if frame.codec not in self.codecs and not self._takes(frame.codec):
            raise NoCommonCodec((frame.codec,) if frame.codec else self.wanted or ("any",), self.theirs)
        if not self.sends:
            return False
        return self._owner.send_frame(self.mid, frame)

    def _takes(self, codec: str) -> bool:
        return codec.upper() in map(str.upper, self.codecs) if codec else bool(self.codecs)

    def request_keyframe(self) -> None:
        """Ask the far end for a keyframe (PLI, or FIR where only that was negotiated)."""
        if self.mid and self.receives:
            self._owner.request_keyframe(self.mid)

    @property
    def line(self) -> tuple[int, str]:
        """What the engine knows this line by: its connection's number, and its mid."""
        return self._owner.number, self.mid

    def make_forwarder(self) -> tuple[Mailbox, _native.Forwarder]:
        """Make what a `Forwarder` of this line is in the engine."""
        return self._owner.make_forwarder()

    async def forward_to(
        self,
        viewer: Transceiver,
        *,
        max_bitrate: int | None = None,
        max_temporal_layer: int | None = None,
        max_layer: int | None = None,
    ) -> Forwarding:
        """Hand what comes in here on to a sending line of another connection; see `Forwarder.add`.

        All calls on one line share one `Forwarder`, and with it one keyframe request a second at most.
        """
        if self._forwarder is None or self._forwarder.closed:
            self._forwarder = Forwarder(self)
        return await self._forwarder.add(
            viewer, max_bitrate=max_bitrate, max_temporal_layer=max_temporal_layer, max_layer=max_layer
        )

    async def __aiter__(self) -> AsyncIterator[EncodedFrame]:
        """Received frames, until the connection is closed. One reader at a time.

        At most 120 wait. When the application is slower than that, the oldest are dropped up to the next
        keyframe, and counted.
        """
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._ended:
                return
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def receive(self) -> EncodedFrame:
        """Return the next frame.

        Raises:
            PeerClosed: there is none, and none will come.
        """
        async for frame in self:
            return frame
        raise PeerClosed("the connection is closed")

    # What follows is called by the peer connection when the engine tells it.

    def _negotiated(self, direction: Direction, codecs: tuple[str, ...], *, stopped: bool) -> None:
        self.current_direction = direction
        self.codecs = codecs or self.codecs
        if stopped:
            self.wishes, self._direction = False, "inactive"
            if not self.stopped:
                self.stopped = True
                self._end()
        if not self.wishes and not self.stopped:
            self._direction = direction

    def _received(self, frame: EncodedFrame, *, contiguous: bool) -> None:
        if self.kind == "video":
            if not contiguous and not frame.keyframe and not self._broken:
                # Still handed on (a decoder conceals), but the far end had better repair it.
                self.request_keyframe()
            if self._broken and not frame.keyframe:
                self.frames_dropped += 1
                return
            self._broken = False
        self._frames.append(frame)
        if len(self._frames) > _MOST_WAITING:
            self._drop_oldest()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _drop_oldest(self) -> None:
        self._frames.popleft()
        self.frames_dropped += 1
        if self.kind == "audio":
            return
        while self._frames and not self._frames[0].keyframe:
            self._frames.popleft()
            self.frames_dropped += 1
        if not self._frames:
            self._broken = True
            self.request_keyframe()

    def _end(self) -> None:
        self._ended = True
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
