"""The last group of pictures of a stream, kept so that a new viewer sees one at once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plait.rtc import EncodedFrame

LIMIT: Final = 8 << 20
"""Bytes kept: 8 s at 8 Mbit/s. A longer group is let go, and viewers wait for the next keyframe."""

_STEP: Final = 90
"""RTP ticks between replayed frames: 1 ms, so that a decoder shows the newest of them at once."""


class LastGroup:
    """The newest keyframe and all frames after it, bounded in bytes."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.size = 0
        self.interval = 0.0
        """Seconds between the last two keyframes; 0 until two were seen."""
        self.rate = math.inf
        """Bits a second of the last whole group; infinite until there was one."""
        self._frames: list[EncodedFrame] = []
        self._key: int | None = None

    def add(self, frame: EncodedFrame) -> None:
        """Take the stream's next picture."""
        if frame.keyframe:
            if self._key is not None:
                self.interval = (frame.timestamp - self._key) / 90_000
                if self._frames:
                    self.rate = 8 * self.size / self.interval
            self._key = frame.timestamp
            self._frames = [frame]
            self.size = len(frame.data)
        elif self._frames:
            self._frames.append(frame)
            self.size += len(frame.data)
            if self.size > self.limit:
                self.clear()

    def clear(self) -> None:
        """Forget the group; the next keyframe starts another."""
        self._frames = []
        self.size = 0

    def __len__(self) -> int:
        """Return how many frames are kept."""
        return len(self._frames)

    def replay(self, after: int | None = None) -> list[EncodedFrame]:
        """Return the group with its timestamps drawn together, for a decoder that starts with it.

        With its own timestamps a browser would play the group at its own pace and stay that far behind for
        good. So the newest frame keeps its timestamp and the others go just before it; the live frames that
        follow continue without a jump.

        Args:
            after: the last RTP timestamp that this viewer has got, if any; the group is placed above it, and
                above the newest frame where that one was already sent.
        """
        if not self._frames:
            return []
        count = len(self._frames)
        newest = self._frames[-1].timestamp
        if after is None or after < newest - count * _STEP:
            first, step = newest - (count - 1) * _STEP, _STEP
        elif after < newest - count:
            step = (newest - after) // count
            first = newest - (count - 1) * step
        else:
            first, step = after + 1, 1
        return [replace(frame, timestamp=first + at * step) for at, frame in enumerate(self._frames)]
