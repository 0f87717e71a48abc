"""The video encoder: raw pictures to H.264 that every browser plays, at the lowest delay that x264 has."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
from av.video.frame import PictureType

from plait.media import annexb

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

KEYFRAME_EVERY: Final = 2.0
"""Seconds between keyframes that nobody asked for: bounds the group that a new viewer is sent."""

KEYFRAME_PAUSE: Final = 0.5
"""Least seconds between keyframes that were asked for: a bad viewer must not make every picture one."""

_BITS_PER_PIXEL: Final = 0.1
"""Ceiling of the rate: 720p at 25/s comes to 2.3 Mbit/s, a usual figure for a camera."""

_LEAST: Final = 50_000
"""Bits a second: below, there is no picture to speak of."""


class VideoEncoder:
    """x264, constrained baseline, no B-frames, no look-ahead: each picture comes out at once.

    Attributes:
        limit: bits a second that may come out, below the encoder's own ceiling; None for that. Any thread may
            set it, and the next picture follows it.
    """

    codec: Final = "H264"

    def __init__(self, width: int, height: int, rate: float) -> None:
        # 4:2:0 needs even sides.
        self.width, self.height = max(width & ~1, 2), max(height & ~1, 2)
        self.rate = rate
        self.limit: float | None = None
        self._wanted_key = True
        self._last_key = 0.0
        self._ceiling = 0
        self._context = self._open()

    def _open(self) -> VideoCodecContext:
        context: VideoCodecContext = av.CodecContext.create("libx264", "w")
        context.width, context.height = self.width, self.height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, 90_000)
        context.framerate = Fraction(self.rate).limit_denominator(1001)
        context.gop_size = max(1, round(self.rate * KEYFRAME_EVERY))
        self._ceiling = ceiling = self._wanted_ceiling()
        context.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "crf": "24",
            "maxrate": str(ceiling),
            "bufsize": str(ceiling // 2),
        }
        context.open()
        return context

    def _wanted_ceiling(self) -> int:
        own = max(200_000, round(self.width * self.height * self.rate * _BITS_PER_PIXEL))
        return own if self.limit is None else max(_LEAST, min(own, round(self.limit)))

    def request_keyframe(self) -> None:
        """Make one of the next pictures a keyframe, at most one per `KEYFRAME_PAUSE`. Any thread may ask."""
        self._wanted_key = True

    def encode(self, frame: VideoFrame, timestamp: int) -> list[tuple[bytes, bool]]:
        """Encode a picture shown at RTP time `timestamp`; return access units, and whether each is a key."""
        if self._wanted_ceiling() != self._ceiling:
            self._context = self._open()  # which holds nothing back, and begins with a keyframe
        picture = frame.reformat(self.width, self.height, "yuv420p")
        picture.pts = timestamp
        picture.time_base = Fraction(1, 90_000)
        now = time.monotonic()
        picture.pict_type = PictureType.NONE
        if self._wanted_key and now - self._last_key >= KEYFRAME_PAUSE:
            picture.pict_type = PictureType.I
            self._wanted_key = False
        done = [(bytes(packet), packet.is_keyframe) for packet in self._context.encode(picture)]
        if any(key for _, key in done):
            self._last_key = now
        return done

    @property
    def profile(self) -> str:
        """The profile-level-id of what comes out, once something did (RFC 6184, 8.1)."""
        return annexb.profile(annexb.parameter_sets(self._context.extradata))
