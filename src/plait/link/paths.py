"""A link's paths at work: what carries packets, probed, and the better one chosen by `wire.path`."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from plait.wire.errors import PlaitError
from plait.wire.link import frames
from plait.wire.path import SILENT, Choice, Path, better

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plait.wire.link import Lane

PROBE_EVERY: Final = 0.5
"""Seconds between the probes of a path while the link is in use."""

PROBE_IDLE_EVERY: Final = 5.0
"""And while it is not."""

USED_FOR: Final = 3.0
"""Seconds after the last message for which it counts as in use."""

PROBES: Final = 20
"""Probes of which a path's loss is reckoned."""

GIVEN_UP_AFTER: Final = 2.0
"""Seconds after which a probe is taken for lost."""

LOOK_EVERY: Final = 0.25

_log = logging.getLogger("plait.link")


class Carrier(Protocol):
    """What carries packets on one path."""

    lanes: tuple[Lane, ...]

    def room(self, lane: Lane) -> bool:
        """Return whether it takes a packet now."""

    def send(self, lane: Lane, packet: bytes) -> None:
        """Give it a packet. Raises `PlaitError` or `OSError` where it is closed; the packet is lost then."""


class _Known:
    """What is known of one path."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.carrier: Carrier | None = None
        self.relayed = False
        self.failures = 0
        self._reset(0.0)

    def _reset(self, now: float) -> None:
        self.rtt: float | None = None
        self.heard = now
        self.good_since = now
        self.probed = -1e9
        self.waiting: dict[int, float] = {}
        self.answers: deque[bool] = deque(maxlen=PROBES)

    def open(self, carrier: Carrier, now: float) -> None:
        self._reset(now)
        self.carrier = carrier

    def probe(self, token: int, now: float) -> None:
        self.probed = now
        self.waiting[token] = now

    def answered(self, token: int, now: float) -> None:
        sent = self.waiting.pop(token, None)
        if sent is None:
            return
        took = now - sent
        self.rtt = took if self.rtt is None else 0.8 * self.rtt + 0.2 * took
        self.answers.append(True)
        for older in [each for each, at in self.waiting.items() if at < sent]:
            del self.waiting[older]
            self.answers.append(False)

    def answers_now(self, now: float) -> bool:
        """Return whether it is open, has answered, and has not just fallen silent.

        Its probes go in order behind what is sent again, so that where much is lost they are late: whatever
        else has come says as well that it lives.
        """
        return self.carrier is not None and self.rtt is not None and self.silence(now) <= SILENT

    def silence(self, now: float) -> float:
        """Return for how many seconds nothing at all has come since it was asked for an answer."""
        return now - max(self.heard, min(self.waiting.values(), default=now))

    def judge(self, now: float) -> Path:
        silent = now - min(self.waiting.values(), default=now)
        if silent > GIVEN_UP_AFTER:
            self.good_since = now
        loss = self.answers.count(False) / len(self.answers) if len(self.answers) >= PROBES // 2 else 0.0
        good_for = now - self.good_since
        return Path(
            self.name, self.carrier is not None, self.rtt, loss, silent, good_for, self.failures, self.relayed
        )


class Paths:
    """The two paths of one end of a link.

    Args:
        link: its id, for the log.
        in_use: whether the link has messages now, or had some a moment ago: it is probed more often then.
        chosen: told of each choice, also where it falls on the same path for another reason.
        changed: told when a path is there, and when one is gone.

    Attributes:
        choice: what carries the link, and why.
    """

    def __init__(
        self,
        link: str,
        *,
        in_use: Callable[[], bool],
        chosen: Callable[[Choice], None],
        changed: Callable[[], None],
    ) -> None:
        self.choice = Choice("", "no path is open")
        self._link = link
        self._in_use = in_use
        self._chosen = chosen
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._known = {name: _Known(name) for name in ("hub", "direct")}
        self._tokens = itertools.count(1)
        self._looking: asyncio.TimerHandle | None = None
        self._closed = False

    # What is there

    def opened(self, name: str, carrier: Carrier, *, relayed: bool) -> None:
        """Note that a path is there."""
        path = self._known[name]
        path.open(carrier, self._loop.time())
        path.relayed = relayed
        self._look()
        self._changed()

    def lost(self, name: str) -> None:
        """Note that a path is gone."""
        path = self._known[name]
        if path.carrier is None:
            return
        path.carrier = None
        path.failures += self.choice.name == name
        self._choose()
        self._changed()

    def close(self) -> None:
        """Carry nothing any more."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        for path in self._known.values():
            path.carrier = None

    def is_open(self, name: str | None = None) -> bool:
        """Return whether a path is there: this one, or any."""
        if name is None:
            return any(path.carrier is not None for path in self._known.values())
        return name in self._known and self._known[name].carrier is not None

    def rtt(self, name: str) -> float | None:
        """Return a path's round trip in seconds."""
        return self._known[name].rtt

    def silent(self, name: str) -> float:
        """Return for how many seconds nothing has come on a path that was asked; 0 where none is there."""
        path = self._known.get(name)
        return 0.0 if path is None or path.carrier is None else path.silence(self._loop.time())

    def stats(self) -> dict[str, Any]:
        """Return what is known of the paths, by name: `open`, `rtt` (seconds), `loss`, `failures`."""
        now = self._loop.time()
        judged = [path.judge(now) for path in self._known.values()]
        return {
            path.name: {"open": path.open, "rtt": path.rtt, "loss": path.loss, "failures": path.failures}
            for path in judged
        }

    # What comes

    def heard(self, name: str) -> None:
        """Note that a packet has come on a path."""
        self._known[name].heard = self._loop.time()

    def answered(self, name: str, token: int) -> None:
        """Note the answer to a probe."""
        self._known[name].answered(token, self._loop.time())
        self._choose()

    # What goes

    def lanes(self) -> Sequence[tuple[str, Lane]]:
        """Return which path takes which lane.

        What may be lost goes directly whenever that answers, even while the other path carries the rest: on a
        way that loses, what is new there is sooner than what TCP repairs in order.
        """
        path, direct = self._known[self.choice.name], self._known["direct"]
        assert path.carrier is not None  # noqa: S101 - asked before
        if path is not direct and direct.answers_now(self._loop.time()):
            return (("direct", "fast"), (path.name, "sure"))
        return tuple((path.name, lane) for lane in path.carrier.lanes)

    def room(self, name: str, lane: Lane) -> bool:
        """Return whether an open path takes a packet now."""
        carrier = self._known[name].carrier
        return carrier is not None and carrier.room(lane)

    def give(self, name: str, lane: Lane, packet: bytes) -> bool:
        """Give an open path a packet; return False where it turns out to be gone: the packet is lost then."""
        carrier = self._known[name].carrier
        assert carrier is not None  # noqa: S101 - asked before
        try:
            carrier.send(lane if lane in carrier.lanes else carrier.lanes[0], packet)
        except (PlaitError, OSError, ValueError, RuntimeError) as error:
            _log.debug("link %s: %s is closed: %s", self._link, name, error)
            self.lost(name)
            return False
        return True

    # Probing and choosing

    def wake(self) -> None:
        """Begin to probe, where a message goes before any path was there."""
        if self._looking is None:
            self._look()

    def _look(self) -> None:
        """Probe what is due, and choose; again after a while."""
        if self._looking is not None:
            self._looking.cancel()
        now, in_use = self._loop.time(), self._in_use()
        for path in self._known.values():
            if path.carrier is not None and now - path.probed >= (
                PROBE_EVERY if in_use else PROBE_IDLE_EVERY
            ):
                token = next(self._tokens)
                path.probe(token, now)
                self.give(path.name, "sure", frames.pack([frames.encode(frames.Ping(token))]))
        self._choose()
        if self._closed:
            return
        waiting = any(path.waiting for path in self._known.values() if path.carrier is not None)
        wait = LOOK_EVERY if in_use or waiting else PROBE_IDLE_EVERY
        self._looking = self._loop.call_later(wait, self._look)

    def _choose(self) -> None:
        now = self._loop.time()
        known = [path.judge(now) for path in self._known.values()]
        choice, before = better(known, self.choice.name), self.choice
        self.choice = choice
        if choice.name != before.name:
            if before.name and self._known[before.name].carrier is not None:
                left = self._known[before.name]
                left.failures += next(each.silent for each in known if each.name == before.name) > 0
            _log.info(
                "link %s: %s → %s: %s",
                self._link,
                before.name or "nowhere",
                choice.name or "nowhere",
                choice.reason,
            )
        self._chosen(choice)
