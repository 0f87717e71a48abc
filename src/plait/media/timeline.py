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

    def find(self, time: float) -> float:
        """Return where the source's `time` lies, in seconds. A jump of its clock continues at the end."""
        if self._shift is None or not -_BACK <= time + self._shift - self.end < _JUMP:
            self._shift = self.end - time
        return time + self._shift

    def place(self, time: float, duration: float = 0.0) -> float:
        """Return where a frame of the source's `time` lies; the line now reaches to its end."""
        placed = self.find(time)
        self.end = max(self.end, placed + duration)
        return placed
