"""The sound of a source as Opus, the one sound codec that every browser plays by WebRTC (RFC 7874)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
from av.audio.resampler import AudioResampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame

RATE: Final = 48_000
"""Samples per second, and the RTP clock of Opus whatever the sound's own rate (RFC 7587, 4.1)."""

FRAME: Final = 960
"""Samples in a packet: 20 ms."""

_DRIFT: Final = RATE // 10
"""Samples by which the count may leave the source's clock before it is set right: 100 ms."""


class OpusEncoder:
    """Resamples to 48 kHz stereo and encodes packets of 20 ms, their timestamps counted in samples."""

    def __init__(self, bit_rate: int = 64_000) -> None:
        context: AudioCodecContext = av.CodecContext.create("libopus", "w")
        context.sample_rate = RATE
        context.layout = "stereo"
        context.format = "s16"
        context.bit_rate = bit_rate
        context.time_base = Fraction(1, RATE)
        context.options = {"application": "audio", "frame_duration": "20"}
        context.open()
        self._context = context
        self._resampler = self._new_resampler()
        self._next: int | None = None

    @staticmethod
    def _new_resampler() -> AudioResampler:
        return AudioResampler(format="s16", layout="stereo", rate=RATE, frame_size=FRAME)

    def restart(self) -> None:
        """Begin another lap of the source: its sound may have another format."""
        self._resampler = self._new_resampler()

    def encode(self, frame: AudioFrame, time: float) -> Iterator[tuple[bytes, int]]:
        """Encode sound heard at `time` s of the timeline; yield packets and their RTP timestamps (48 kHz)."""
        heard = round(time * RATE)
        if self._next is None or heard - self._next > _DRIFT:
            # Only ever forward: a gap in the source is a gap for the listener too.
            self._next = heard
        for block in self._resampler.resample(frame):
            block.pts = self._next
            block.time_base = Fraction(1, RATE)
            self._next += block.samples
            for packet in self._context.encode(block):
                if packet.pts is not None:
                    yield bytes(packet), packet.pts
