"""A link's end at work: its paths probed, the better one chosen, its channels as programs use them.

`wire.link` holds the rules, `wire.path` which path is better; here are the clock, the probes and the queues.
Both ends are of the same class; how each comes to its paths is in `link.opener` and `thing.links`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from plait.link.channel import Channel, Values
from plait.wire import link as wire
from plait.wire.errors import LinkLost, PlaitError
from plait.wire.link import frames
from plait.wire.path import SILENT, Choice, Path, better

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plait.wire.link import Delivery, Lane

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

UNCLAIMED: Final = 64

AFFORDANCES: Final = "~affordances"
"""The channel of requests for the thing's properties, and their responses: section 4's messages, as texts."""

LOOK_EVERY: Final = 0.25
FULL_AGAIN: Final = 0.01
"""Seconds after which a path that had no room is tried again."""

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
        silent = now - max(self.heard, min(self.waiting.values(), default=now))
        return self.carrier is not None and self.rtt is not None and silent <= SILENT

    def judge(self, now: float) -> Path:
        silent = now - min(self.waiting.values(), default=now)
        if silent > GIVEN_UP_AFTER:
            self.good_since = now
        loss = self.answers.count(False) / len(self.answers) if len(self.answers) >= PROBES // 2 else 0.0
        good_for = now - self.good_since
        return Path(
            self.name, self.carrier is not None, self.rtt, loss, silent, good_for, self.failures, self.relayed
        )


class Link:
    """One end of a link between an app and a thing.

    Attributes:
        id: the hub's name for it.
        peer: who is at the other end: a thing's id, or whom the hub has let in, such as `user:owner`.
        met: set once there is a path for the first time.
        path: what carries it now, and why.
        on_path: told when that changes.
        on_channel: told of each channel that the far end has opened and nobody here has asked for.
        on_paths: told when a path is there, and when one is gone.
        closed: set once it is over; `error` says why.
    """

    def __init__(self, id: str, *, peer: str = "") -> None:  # noqa: A002 - the protocol's name for it
        self.id = id
        self.peer = peer
        self.met = asyncio.Event()
        self.path = Choice("", "no path is open")
        self.on_path: Callable[[Choice], None] | None = None
        self.on_channel: Callable[[Channel | Values], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.on_paths: list[Callable[[], None]] = []
        self.closed = asyncio.Event()
        self.error: PlaitError | None = None
        self._loop = asyncio.get_running_loop()
        self._wire = wire.Link()
        self._paths = {name: _Known(name) for name in ("hub", "direct")}
        self._channels: dict[str, Channel | Values] = {}
        # Channels of the far end's that nobody has asked for; the oldest are forgotten.
        self._unclaimed: deque[Channel] = deque(maxlen=UNCLAIMED)
        self._news = asyncio.Event()
        self._tokens = itertools.count(1)
        self._used = self._loop.time()
        self._looking: asyncio.TimerHandle | None = None
        self._pumping: asyncio.TimerHandle | asyncio.Handle | None = None

    # Channels

    def channel(self, name: str, delivery: Delivery = "reliable", *, priority: int = 100) -> Channel:
        """Return the channel of this name, for messages.

        Args:
            name: 1 to 128 bytes of UTF-8; the same at both ends.
            delivery: "reliable": each message comes once and in order. "datagram": at most once.
            priority: 0 to 255; higher goes first.

        Raises:
            InvalidValue: these do not fit, or the name stands for a channel of another class.
            LinkLost: the link is over.
        """
        channel = self._open(name, delivery, priority)
        assert isinstance(channel, Channel)  # noqa: S101 - `open` has refused another class
        return channel

    def values(self, name: str, *, priority: int = 100) -> Values:
        """Return the channel of this name, for values of which the newest counts; errors as `channel`."""
        channel = self._open(name, "latest", priority)
        assert isinstance(channel, Values)  # noqa: S101 - as above
        return channel

    def _open(self, name: str, delivery: Delivery, priority: int) -> Channel | Values:
        self.check()
        self._wire.open(name, delivery, priority=priority)
        return self._channel(name, delivery)

    def _channel(self, name: str, delivery: Delivery) -> Channel | Values:
        channel = self._channels.get(name)
        if channel is None:
            channel = Values(name, self) if delivery == "latest" else Channel(name, delivery, self)
            self._channels[name] = channel
        return channel

    async def accept(self, prefix: str = "") -> Channel:
        """Wait for a reliable channel that the far end opens under a name that begins so.

        Raises:
            LinkLost: the link is over.
        """
        while True:
            for channel in self._unclaimed:
                if channel.name.startswith(prefix):
                    self._unclaimed.remove(channel)
                    return channel
            self.check()
            await self._news.wait()

    def check(self) -> None:
        """Raise what has ended the link, if it is over."""
        if self.closed.is_set():
            raise self.error or LinkLost("the link is closed")

    # For channels

    def send(self, name: str, payload: bytes, *, text: bool, key: str = "") -> None:
        """Send on a channel; see `wire.link.Link.send`."""
        self.check()
        self._wire.send(name, payload, now=self._loop.time(), text=text, key=key)
        self._use()

    def finish(self, name: str) -> None:
        """End our direction of a channel."""
        self._wire.finish(name)
        self._use()

    def took(self, name: str, size: int) -> None:
        """Note that the program has taken a message."""
        self._wire.took(name, size)
        self.pump()

    def buffered(self, name: str) -> int:
        """Return how many bytes of a channel the far end has not acknowledged."""
        return self._wire.buffered(name)

    def _use(self) -> None:
        self._used = self._loop.time()
        self._soon()
        if self._looking is None:
            self._look()

    # Paths

    def opened(self, name: str, carrier: Carrier, *, relayed: bool = False) -> None:
        """Note that a path is there."""
        if self.closed.is_set():
            return
        self.met.set()
        path = self._paths[name]
        path.open(carrier, self._loop.time())
        path.relayed = relayed
        self._look()
        for tell in self.on_paths:
            tell()

    def lost(self, name: str) -> None:
        """Note that a path is gone."""
        path = self._paths[name]
        if path.carrier is None:
            return
        path.carrier = None
        if self.closed.is_set():
            return
        path.failures += self.path.name == name
        self._choose()
        for tell in self.on_paths:
            tell()

    def is_open(self, name: str | None = None) -> bool:
        """Return whether a path is there: this one, or any."""
        paths = self._paths.values() if name is None else (self._paths[name],)
        return any(path.carrier is not None for path in paths)

    def _look(self) -> None:
        """Probe what is due, and choose; again after a while."""
        if self._looking is not None:
            self._looking.cancel()
        now = self._loop.time()
        in_use = now - self._used < USED_FOR or not self._wire.settled
        for path in self._paths.values():
            if path.carrier is not None and now - path.probed >= (
                PROBE_EVERY if in_use else PROBE_IDLE_EVERY
            ):
                token = next(self._tokens)
                path.probe(token, now)
                self._give(path, "sure", frames.pack([frames.encode(frames.Ping(token))]))
        self._choose()
        waiting = any(path.waiting for path in self._paths.values() if path.carrier is not None)
        wait = LOOK_EVERY if in_use or waiting else PROBE_IDLE_EVERY
        self._looking = self._loop.call_later(wait, self._look)

    def _choose(self) -> None:
        now = self._loop.time()
        known = [path.judge(now) for path in self._paths.values()]
        choice, before = better(known, self.path.name), self.path
        if choice.name == before.name:
            self.path = choice
            return
        if before.name and self._paths[before.name].carrier is not None:
            left = self._paths[before.name]
            left.failures += next(each.silent for each in known if each.name == before.name) > 0
        self.path = choice
        _log.info(
            "link %s: %s → %s: %s", self.id, before.name or "nowhere", choice.name or "nowhere", choice.reason
        )
        if choice.name:
            self._wire.moved(now)
        if self.on_path is not None:
            self.on_path(choice)
        self._soon()

    def _give(self, path: _Known, lane: Lane, packet: bytes) -> bool:
        assert path.carrier is not None  # noqa: S101 - asked before
        lanes = path.carrier.lanes
        try:
            path.carrier.send(lane if lane in lanes else lanes[0], packet)
        except (PlaitError, OSError, ValueError, RuntimeError) as error:
            _log.debug("link %s: %s is closed: %s", self.id, path.name, error)
            self.lost(path.name)
            return False
        return True

    # Packets

    def _soon(self) -> None:
        if isinstance(self._pumping, asyncio.TimerHandle):  # what is new does not wait for what goes again
            self._pumping.cancel()
            self._pumping = None
        if self._pumping is None:
            self._pumping = self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Give the path what it takes."""
        if self._pumping is not None:
            self._pumping.cancel()
            self._pumping = None
        path = self._paths.get(self.path.name)
        if path is None or path.carrier is None or self.closed.is_set():
            return
        full = False
        if path.rtt is not None:
            self._wire.rtt = path.rtt
        for way, lane in self._ways(path):
            while way.carrier is not None:
                if not way.carrier.room(lane):
                    full = True
                    break
                packet = self._wire.poll(self._loop.time(), lane)
                if packet is None:
                    break
                if not self._give(way, lane, packet):
                    return  # another path carries it from the next turn on
        due = self._wire.deadline()
        if full:
            self._pumping = self._loop.call_later(FULL_AGAIN, self.pump)
        elif due is not None:
            self._pumping = self._loop.call_at(due, self.pump)

    def _ways(self, path: _Known) -> Sequence[tuple[_Known, Lane]]:
        """Return which path takes which lane.

        What may be lost goes directly whenever that answers, even while the other path carries the rest: on a
        way that loses, what is new there is sooner than what TCP repairs in order.
        """
        assert path.carrier is not None  # noqa: S101 - asked before
        direct = self._paths["direct"]
        if path is not direct and direct.answers_now(self._loop.time()):
            return ((direct, "fast"), (path, "sure"))
        return tuple((path, lane) for lane in path.carrier.lanes)

    def receive(self, name: str, packet: bytes) -> None:
        """Take a packet that came on a path; none after the end."""
        if self.closed.is_set():
            return
        now = self._loop.time()
        self._paths[name].heard = now
        for event in self._wire.receive(packet):
            match event:
                case wire.Ping(token):
                    if self._paths[name].carrier is not None:
                        pong = frames.pack([frames.encode(frames.Pong(token))])
                        self._give(self._paths[name], "sure", pong)
                case wire.Pong(token):
                    self._paths[name].answered(token, now)
                    self._choose()
                case wire.Opened(channel, delivery):
                    made = self._channel(channel, delivery)
                    if isinstance(made, Channel) and delivery == "reliable":
                        self._unclaimed.append(made)
                        self._wake()
                    if self.on_channel is not None:
                        self.on_channel(made)
                case wire.Received(channel, payload, text, key):
                    self._used = now
                    self._channels[channel].take(payload, text=text, key=key)
                case wire.Ended(channel, error):
                    if (ended := self._channels.pop(channel, None)) is not None:
                        ended.end(error)
                case wire.Fault(error):
                    _log.warning("link %s: the far end sent no packet: %s", self.id, error)
        for each in self._channels.values():
            each.moved_on()
        self._soon()

    # The end

    def close(self, error: PlaitError | None = None) -> None:
        """End it, here; the far end is told by whoever owns it. Idempotent."""
        if self.closed.is_set():
            return
        self.error = error
        self.closed.set()
        for timer in (self._looking, self._pumping):
            if timer is not None:
                timer.cancel()
        for path in self._paths.values():
            path.carrier = None
        for channel in list(self._channels.values()):
            channel.end(error)
        self._channels.clear()
        self._wake()
        if self.on_close is not None:
            self.on_close()

    def _wake(self) -> None:
        self._news.set()
        self._news.clear()

    async def settled(self, timeout: float) -> bool:  # noqa: ASYNC109 - an answer, not an error, when time is up
        """Wait until the far end has everything that was sent; return whether it did in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self._wire.settled:  # noqa: ASYNC110 - the state of all channels, of which none is told
                    await asyncio.sleep(0.01)
        return self._wire.settled

    def stats(self) -> dict[str, Any]:
        """Return what is known of the paths, by name: `open`, `rtt` (seconds), `loss`, `failures`."""
        now = self._loop.time()
        judged = [path.judge(now) for path in self._paths.values()]
        return {
            path.name: {"open": path.open, "rtt": path.rtt, "loss": path.loss, "failures": path.failures}
            for path in judged
        }
