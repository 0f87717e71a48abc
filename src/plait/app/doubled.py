"""What comes twice of a linked thing: over the link at once, from the hub once it is kept. It counts once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from plait.wire.messages import OBSERVE_PROPERTY, notification

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from msgspec import UnsetType

    from plait.link.asking import Asking
    from plait.wire.messages import Message, PropertyState

REMEMBERED: Final = 1024
"""Values and events of a thing that are known when they come again; no two of one name have one time."""

HUB_WITHIN: Final = 5.0
"""Seconds that a hub which is there has to tell what was reported before the link began to tell."""


class Doubled:
    """What one linked thing has told.

    When a link begins to tell, the hub may still be about to tell what came before. So that nothing overtakes
    it, what comes over the link is held until the hub has told that, for a while at most.

    Args:
        way: its link.
        tell: takes what is told for the first time.

    Attributes:
        way: its newest link.
    """

    def __init__(self, way: Asking, tell: Callable[[Message], None]) -> None:
        self.way = way
        self._tell = tell
        self._told: dict[tuple[str, str, datetime], None] = {}
        self._latest: dict[str, datetime] = {}  # by property, over this link
        self._by_hub: datetime | None = None
        self._held: list[Callable[[], None]] | None = None
        self._until: datetime | None = None
        self._timer: asyncio.TimerHandle | None = None

    def linked(self, way: Asking) -> None:
        """Go on with another link; the device may have begun anew, with an earlier clock."""
        self.release()
        self.way = way
        self._latest.clear()
        self._by_hub = None

    # Holding

    def hold(self) -> None:
        """Hold what comes over the link, until it is known what the hub has to tell first."""
        self._held = self._held or []
        self._until = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HUB_WITHIN, self.release)

    def reported(self, last: datetime | UnsetType) -> None:
        """Hold on until the hub has told what was reported at this time."""
        if last is UNSET or (self._by_hub is not None and self._by_hub >= last):
            self.release()
        else:
            self._until = last

    def release(self) -> None:
        """Tell what was held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held, self._held, self._until = self._held or [], None, None
        for work in held:
            work()

    # What is told

    def by_hub(self, message: Message) -> None:
        """Take what the hub tells."""
        self._take(message, direct=False)
        if message.timestamp is not UNSET:
            self._by_hub = message.timestamp
            if self._until is not None and message.timestamp >= self._until:
                self.release()

    def by_link(self, message: Message) -> None:
        """Take what the thing tells over its link."""
        self.in_turn(partial(self._take, message, direct=True))

    def in_turn(self, work: Callable[[], None]) -> None:
        """Do something after what is held."""
        if self._held is not None:
            self._held.append(work)
        else:
            work()

    def fresh(self, name: str, state: PropertyState) -> bool:
        """Return whether a value that the thing was asked for over its link is news."""
        told = notification(OBSERVE_PROPERTY, name=name, timestamp=state.timestamp)
        return self._news(told, direct=True)

    def _take(self, message: Message, *, direct: bool) -> None:
        if self._news(message, direct=direct):
            self._tell(message)

    def _news(self, message: Message, *, direct: bool) -> bool:
        """Return whether this came for the first time, and no later value before it."""
        if message.name is UNSET or message.timestamp is UNSET:
            return True
        key = (message.operation, message.name, message.timestamp)
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        if message.operation != OBSERVE_PROPERTY or self.way.over:
            return True
        latest = self._latest.get(message.name)
        if direct:
            self._latest[message.name] = message.timestamp
        return direct or latest is None or message.timestamp > latest
