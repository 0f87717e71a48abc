"""Pictures to JPEG of at most so many bytes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import av
import av.error

from plait.media.decoder import CLOCK

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_NARROWEST: Final = 64
_BYTES_PER_PIXEL: Final = 0.09
"""What a picture of a street takes at the middle one of `_SCALES`: 23 KB at 640x480."""
_SCALES: Final = (5, 8, 14, 24)
"""FFmpeg's quantiser scales, fine to coarse; beyond 24 fewer pixels show more."""


def encode(picture: VideoFrame, *, width: int, size: int) -> bytes:
    """Return a picture as JPEG, no wider than `width` pixels and, if it can be, no larger than `size` bytes.

    Its sides shrink to what so many bytes can show well; then the finest quality that fits is taken.
    """
    fits = (size / _BYTES_PER_PIXEL * picture.width / picture.height) ** 0.5
    across = max(_NARROWEST, min(width, picture.width, round(fits)))
    while True:
        for scale in _SCALES:
            data = _encode(picture, across, scale)
            if len(data) <= size:
                return data
        if across <= _NARROWEST:
            return data
        across = max(_NARROWEST, round(across * 0.7))


def _encode(picture: VideoFrame, across: int, scale: int) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.width = across & ~1
    context.height = max(2, round(across * picture.height / picture.width) & ~1)
    context.pix_fmt, context.time_base = "yuvj420p", CLOCK
    context.options = {"qmin": str(scale), "qmax": str(scale)}
    small = picture.reformat(context.width, context.height, "yuvj420p")
    small.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(small), *context.encode(None)))


def decode(data: bytes) -> VideoFrame | None:
    """Return the picture of a JPEG; None where it is none."""
    context = av.CodecContext.create("mjpeg", "r")
    try:
        pictures = [*context.decode(av.Packet(data)), *context.decode(None)]
    except av.error.FFmpegError:
        return None
    return pictures[0] if pictures else None
