"""The life of a client's connection: its phases, and how long it waits before it dials again."""

from __future__ import annotations

import time
from enum import Enum
from random import SystemRandom
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class Phase(Enum):
    """Where a client stands."""

    IDLE = "idle"  # not started
    DIALLING = "dialling"  # opening a transport
    GREETING = "greeting"  # hello is said, welcome has not come
    OPEN = "open"  # messages flow
    WAITING = "waiting"  # the transport broke or could not be had; will dial again
    CLOSED = "closed"  # for good


NEXT: Final = {
    (Phase.IDLE, "dial"): Phase.DIALLING,
    (Phase.DIALLING, "opened"): Phase.GREETING,
    (Phase.DIALLING, "lost"): Phase.WAITING,
    (Phase.GREETING, "welcomed"): Phase.OPEN,
    (Phase.GREETING, "lost"): Phase.WAITING,
    (Phase.OPEN, "lost"): Phase.WAITING,
    (Phase.WAITING, "dial"): Phase.DIALLING,
    **{(phase, "stop"): Phase.CLOSED for phase in Phase},
}
"""What may happen when, and where it leads. Anything else is a fault of ours (KeyError)."""


_RANDOM: Final = SystemRandom()


class Backoff:
    """How long to wait before the next try: full jitter, so that a thousand clients do not come back at once.

    Drawn evenly from 0 to min(2, 0.2 · 2ⁿ) seconds for the first minute of failing, and from 0 to 30 after
    (`docs/protocol.md`, section 3). Pure: chance and time are handed in.
    """

    FIRST: Final = 0.2
    CAP: Final = 2.0
    PATIENCE: Final = 60.0
    LATE_CAP: Final = 30.0

    def __init__(
        self,
        *,
        random: Callable[[], float] = _RANDOM.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin.

        Args:
            random: gives numbers from 0 to 1.
            clock: gives seconds, monotonic.
        """
        self._random = random
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin anew: it went well."""
        self._tries = 0
        self._since: float | None = None

    def wait(self) -> float:
        """Return the seconds to wait after one more failure."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._since >= self.PATIENCE:
            return self._random() * self.LATE_CAP
        cap = min(self.CAP, self.FIRST * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return self._random() * cap
