"""Waiting for a thing to come: one that sleeps, or one that was lost amid something."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plait.hub.reply import Reply
from plait.wire.messages import now

if TYPE_CHECKING:
    from datetime import datetime

    from plait.wire.errors import PlaitError


class Arrivals:
    """Who waits for which thing. It belongs to no client: an app that leaves ends nothing."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Reply[None]]] = {}

    def wait(self, thing: str, until: datetime, late: PlaitError) -> Reply[None]:
        """Return a reply that is there when the thing is, or fails with `late` at that time."""
        waiting: Reply[None] = Reply()
        self._waiting.setdefault(thing, []).append(waiting)
        left = max(0.0, (until - now()).total_seconds())
        timer = asyncio.get_running_loop().call_later(left, waiting.fail, late)

        def over(_: Reply[None]) -> None:
            timer.cancel()
            queue = self._waiting.get(thing, [])
            if waiting in queue:
                queue.remove(waiting)
                if not queue:
                    del self._waiting[thing]

        waiting.then(over)
        return waiting

    def came(self, thing: str) -> None:
        """Let those go on that waited for this thing, in the order in which they began to."""
        for waiting in self._waiting.pop(thing, ()):
            waiting.set(None)
