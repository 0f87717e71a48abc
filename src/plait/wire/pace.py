"""How often, and how large, a viewer asks for still pictures where no video reaches it. Pure.

The twin of `web/sdk/src/pace.ts`. Nothing here is part of the protocol: a viewer may ask as it likes, within
the hub's limits.
"""

from __future__ import annotations

from typing import Final

LARGEST: Final = 65_536
"""Bytes of a picture that is asked for at most."""

SMALLEST: Final = 4_096
"""Bytes below which a picture shows too little; a slower way gets fewer of them instead."""

FIRST: Final = 20_480
"""Bytes of the first picture: a third of a second at 0.5 Mbit/s."""

WIDTH: Final = 960
"""Pixels across at most; the device takes fewer where the bytes do not allow so many."""

EVERY: Final = 0.3
"""Least seconds between two questions."""

RATE: Final = 98_304
"""Bytes a second that pictures may take of the way at most."""

_SLOW: Final = 1.5
_LATE: Final = 0.6
_QUICK: Final = 0.25


class Pace:
    """Asks for one picture at a time, so that a slow way holds one and no queue of them.

    Attributes:
        size: bytes that the next picture may have.
    """

    def __init__(self) -> None:
        self.size = FIRST
        self._quickest = float("inf")
        self._wait = 0.0

    def came(self, size: int, seconds: float) -> None:
        """Take that a picture of so many bytes came so many seconds after it was asked for.

        It becomes smaller where the way takes long for it, by itself or against the quickest so far, and
        larger again where there is time.
        """
        self._quickest = min(self._quickest, seconds)
        late = seconds - self._quickest
        if seconds > _SLOW or late > _LATE:
            self.size = max(SMALLEST, int(self.size * 0.6))
        elif late < _QUICK and seconds < _SLOW / 2:
            self.size = min(LARGEST, int(self.size * 1.25))
        self._wait = max(0.0, max(EVERY, size / RATE) - seconds)

    def wait(self) -> float:
        """Return the seconds until the next question."""
        return self._wait
