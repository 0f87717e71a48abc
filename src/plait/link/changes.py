"""What a watcher has not taken yet: bounded, and the newest value of a property wins where it is slow."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any, Literal

import msgspec

Kind = Literal["property", "event", "presence"]


class Change(msgspec.Struct, frozen=True):
    """Something that happened at a thing.

    Attributes:
        thing: the thing's id.
        kind: a property has a value, an event happened, or the thing came or went.
        name: the property's or event's name; `presence`.
        value: the property's value, the event's data, or `online` or `offline`.
        timestamp: when, by the device's clock; for presence, by the hub's.
    """

    thing: str
    kind: Kind
    name: str
    value: Any
    timestamp: datetime


class Changes:
    """Changes that wait for one watcher.

    Args:
        limit: how many may wait. At the limit a property's or the presence's new value takes the place of
            the old one that waits; where there is none, the oldest that a newer one has outdated goes, and in
            the end the oldest of all.

    Attributes:
        dropped: how many changes went untaken.
    """

    def __init__(self, limit: int = 256) -> None:
        self.dropped = 0
        self._limit = limit
        self._waiting: deque[Change] = deque()
        self._seen: dict[tuple[Kind, str], datetime] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, change: Change) -> None:
        """Let a change wait."""
        if change.kind != "event":
            self._seen[change.kind, change.name] = change.timestamp
        while len(self._waiting) >= self._limit:
            del self._waiting[self._least(change)]
            self.dropped += 1
        self._waiting.append(change)

    def catch_up(self, change: Change) -> None:
        """Add a last known value, such as after a break, where it is news."""
        seen = self._seen.get((change.kind, change.name))
        if seen is None or change.timestamp > seen:
            self.add(change)

    def take(self) -> Change | None:
        """Return the next change; None where none waits."""
        return self._waiting.popleft() if self._waiting else None

    def _least(self, coming: Change) -> int:
        """Return the place of the change that is missed least."""
        newest = {(coming.kind, coming.name)}
        outdated = None
        for place in range(len(self._waiting) - 1, -1, -1):
            change = self._waiting[place]
            if change.kind == "event":
                continue
            key = change.kind, change.name
            if key in newest:
                outdated = place
            newest.add(key)
        return 0 if outdated is None else outdated
