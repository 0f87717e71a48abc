"""Encoded frames to pictures, in order and without delay."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

import av
import av.error
from av.codec.context import Flags

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

    from plait.rtc import EncodedFrame

_DECODERS: Final = {"H264": "h264", "H265": "hevc", "VP8": "vp8", "VP9": "vp9", "AV1": "av1"}
"""WebRTC's names of codecs, and FFmpeg's."""

CLOCK: Final = Fraction(1, 90_000)
"""Seconds per tick of a video's RTP timestamp (RFC 3551, 5)."""


class VideoDecoder:
    """Decodes one stream; where its codec changes, begins anew."""

    def __init__(self) -> None:
        self._decoder: VideoCodecContext | None = None
        self._codec = ""

    def decode(self, frame: EncodedFrame) -> list[VideoFrame] | None:
        """Return a frame's pictures, at most one as a rule; None where it, or what it refers to, is damaged.

        Raises:
            av.codec.UnknownCodecError: nothing here decodes it.
        """
        if self._decoder is None or frame.codec != self._codec:
            self._codec = frame.codec
            self._decoder = _made(frame.codec)
        packet = av.Packet(frame.data)
        packet.pts = packet.dts = frame.timestamp
        packet.time_base = CLOCK
        try:
            pictures = self._decoder.decode(packet)
        except av.error.FFmpegError:
            return None
        if any(picture.is_corrupt for picture in pictures):
            return None
        for picture in pictures:
            picture.time_base = CLOCK
        return pictures


def _made(codec: str) -> VideoCodecContext:
    decoder = cast("VideoCodecContext", av.CodecContext.create(_DECODERS.get(codec, codec.lower()), "r"))
    decoder.thread_type = "SLICE"  # frame threads hold back a picture each
    decoder.flags |= Flags.low_delay
    return decoder
