"""Pictures that a browser plays as they are: taken out of their container, their bytes untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from av.bitstream import BitStreamFilterContext

from plait.media import annexb

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

CODECS: Final = {"h264": "H264", "vp8": "VP8"}
"""FFmpeg's names of what every WebRTC browser plays (RFC 7742, section 5), and WebRTC's names of them."""

_PLAIN = frozenset({"yuv420p", "yuvj420p"})
"""Pixel formats that a browser's H.264 decoder takes: 8 bit, 4:2:0."""


def playable(stream: VideoStream) -> bool:
    """Tell whether a browser can play this stream as it is, as far as its header says.

    B-frames are ruled out, since WebRTC sends frames in decoding order and has no decoding timestamps: a
    browser would show them out of order. `has_b_frames` is FFmpeg's reorder delay, found by decoding the
    first frames; what it misses, `Order` sees.
    """
    context = stream.codec_context
    if context.name not in CODECS or context.has_b_frames:
        return False
    return context.name != "h264" or context.pix_fmt in _PLAIN


class Order:
    """Watches that pictures come in the order in which they are shown."""

    def __init__(self) -> None:
        self._last: int | None = None

    def reorders(self, packet: Packet[Any]) -> bool:
        """Tell whether this packet is shown before one that came earlier: the stream has B-frames."""
        last, self._last = self._last, packet.pts
        return last is not None and packet.pts is not None and packet.pts < last


class Passthrough:
    """Makes the payload of encoded frames from a stream's packets."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self.codec = CODECS[context.name]
        self._h264 = context.name == "h264"
        self._filter = BitStreamFilterContext("h264_mp4toannexb", in_stream=stream) if self._h264 else None
        self.parameter_sets = annexb.parameter_sets(context.extradata) if self._h264 else b""

    def feed(self, packet: Packet[Any]) -> list[tuple[bytes, bool]]:
        """Return the packet's access units, each with whether a decoder can start at it."""
        flagged = packet.is_keyframe
        if self._filter is None:
            return [(bytes(packet), flagged)]
        return [self._unit(bytes(done), flagged) for done in self._filter.filter(packet)]

    def _unit(self, data: bytes, flagged: bool) -> tuple[bytes, bool]:
        if not flagged:
            return data, False
        kinds = annexb.kinds(data)
        if annexb.SPS in kinds:
            self.parameter_sets = annexb.sets_in(data)
        else:
            # A stream whose parameter sets travel beside it (SDP, container) needs them in the picture too.
            data = self.parameter_sets + data
        return data, annexb.IDR in kinds
