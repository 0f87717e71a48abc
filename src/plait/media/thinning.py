"""Which pictures a viewer gets whose path does not carry all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plait.media import annexb

if TYPE_CHECKING:
    from plait.rtc import EncodedFrame

SAVED: Final = 1.0
"""Seconds of the path's rate that may be saved up for a keyframe."""

OWED: Final = 1.0
"""Seconds of it that a keyframe may be ahead; where more is owed, the next keyframe is left out too."""


class Thinning:
    """Leaves pictures out so that the rest fits: those that no other needs first, then the ends of groups.

    Attributes:
        bits: what may go out, in bits a second; None for all of it.
        left_out: pictures.
    """

    def __init__(self) -> None:
        self.bits: float | None = None
        self.left_out = 0
        self._saved = 0.0  # bytes; below 0, what a keyframe was ahead
        self._last: int | None = None
        self._cut = False

    def passes(self, frame: EncodedFrame) -> bool:
        """Tell whether this picture goes out; asked of each, in order."""
        if self.bits is None and not self._cut:
            self._last = None
            return True
        passes = self._fits(frame)
        self.left_out += not passes
        return passes

    def _fits(self, frame: EncodedFrame) -> bool:
        if self.bits is None:  # all of it again, from the next keyframe on
            self._cut = not frame.keyframe
            return frame.keyframe
        rate = self.bits / 8
        passed = 0.0 if self._last is None else max(0.0, (frame.timestamp - self._last) / 90_000)
        self._last = frame.timestamp
        self._saved = min(self._saved + passed * rate, SAVED * rate)
        if frame.keyframe:
            self._cut = self._saved < -OWED * rate
        elif not self._cut and self._saved < max(len(frame.data), SAVED * rate / 2):
            if frame.codec == "H264" and annexb.disposable(frame.data):
                return False
            # After any other picture that is missed nothing can be decoded.
            self._cut = self._saved < len(frame.data)
        if self._cut:
            return False
        self._saved -= len(frame.data)
        return True
