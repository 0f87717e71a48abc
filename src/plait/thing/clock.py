"""A device's time: its own clock where that is right, the hub's where it is not. No I/O.

A device without a battery-backed clock starts in 1970. Its readings are dated by a clock that nobody sets
(seconds since the machine started) on top of what the device believed first; the hub's `time` in the welcome
tells how wrong that was, and everything that was dated before is moved by the difference.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERATED: Final = timedelta(seconds=2)
"""By how much a device's clock may differ from the hub's and still be believed."""


def _boot() -> float:
    # Goes on while the machine sleeps, which CLOCK_MONOTONIC does not.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _wall() -> datetime:
    return datetime.now(UTC)


class Clock:
    """Dates what a device reports, and tells whether a command is late.

    Args:
        wall: the machine's clock, that somebody may set.
        steady: seconds, that nobody sets.

    Attributes:
        sure: the hub's time is known.
        shift: how much everything is to be moved that was dated before that.
    """

    def __init__(self, *, wall: Callable[[], datetime] = _wall, steady: Callable[[], float] = _boot) -> None:
        self._wall = wall
        self._steady = steady
        self._base = wall() - timedelta(seconds=steady())
        self._ahead = timedelta()
        self.sure = False
        self.shift = timedelta()

    def now(self) -> datetime:
        """Return the time to date a reading by: the machine's, unless it was set by a lot."""
        steady, wall = self._base + timedelta(seconds=self._steady()), self._wall()
        return wall if abs(wall - steady) <= TOLERATED else steady

    def hub(self) -> datetime:
        """Return the hub's time, as far as it is known: what deadlines are compared with."""
        return self._base + timedelta(seconds=self._steady()) + self._ahead

    def learn(self, hub: datetime) -> timedelta:
        """Take the hub's time; return by how much readings dated before are to be moved (the first time)."""
        wall = self._wall()
        truth = wall if abs(hub - wall) <= TOLERATED else hub
        base = truth - timedelta(seconds=self._steady())
        shift = base - self._base
        self._base, self._ahead = base, hub - truth
        if self.sure:
            return timedelta()
        self.sure = True
        self.shift = shift if abs(shift) > TOLERATED else timedelta()
        return self.shift
