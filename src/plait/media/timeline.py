"""One line of time through the laps, reconnects and clock jumps of a source."""

from __future__ import annotations

from typing import Final

_JUMP: Final = 10.0
"""Seconds ahead of the last frame beyond which a timestamp is a new clock, not a pause."""

_BACK: Final = 1.0
"""Seconds that a frame may lie behind the newest one: how far sound and picture are interleaved in files."""


class Timeline:
    """Places the timestamps of a source on a line that only ever goes forward.

    Every stream of one source shares one timeline, so that sound and picture stay together.
    """

    def __init__(self) -> None:
        self._shift: float | None = None
        self.end = 60.0
        """Where the line has got to, in s. It starts above 0 so that a replayed group never goes below it."""

    def restart(self, first: float | None = None, *, gap: float = 0.0) -> None:
        """Begin another lap, whose time `first` (s; else the first frame's) follows the end after `gap` s."""
        self.end += gap
        self._shift = None if first is None else self.end - first

    def shifted(self, time: float) -> float:
        """Return where the source's `time` lies on the line, without moving its end."""
        return time + (self._shift or 0.0)

    def place(self, time: float, duration: float = 0.0) -> float:
        """Return where a frame of the source's `time` lies, in seconds from the start."""
        if self._shift is None:
            self._shift = self.end - time
        placed = time + self._shift
        if not -_BACK <= placed - self.end < _JUMP:
            self._shift = self.end - time
            placed = self.end
        self.end = max(self.end, placed + duration)
        return placed
