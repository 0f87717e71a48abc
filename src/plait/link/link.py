"""A link's end at work: its channels as programs use them, over whichever of its paths is chosen.

`wire.link` holds the rules, `link.paths` the paths; here are the clock and the queues.
Both ends are of the same class; how each comes to its paths is in `link.opener` and `thing.links`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from plait.link.channel import Channel, Values
from plait.link.paths import USED_FOR, Paths
from plait.wire import link as wire
from plait.wire.errors import LinkLost
from plait.wire.link import frames
from plait.wire.path import Choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.link.paths import Carrier
    from plait.wire.errors import PlaitError
    from plait.wire.link import Delivery

UNCLAIMED: Final = 64

AFFORDANCES: Final = "~affordances"
"""The channel of requests for the thing's properties, and their responses: section 4's messages, as texts."""

FULL_AGAIN: Final = 0.01
"""Seconds after which a path that had no room is tried again."""

_log = logging.getLogger("plait.link")


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
        self._paths = Paths(id, in_use=self._in_use, chosen=self._chosen, changed=self._changed)
        self._channels: dict[str, Channel | Values] = {}
        # Channels of the far end's that nobody has asked for; the oldest are forgotten.
        self._unclaimed: deque[Channel] = deque(maxlen=UNCLAIMED)
        self._news = asyncio.Event()
        self._used = self._loop.time()
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
        self._paths.wake()

    # Paths

    def opened(self, name: str, carrier: Carrier, *, relayed: bool = False) -> None:
        """Note that a path is there."""
        if self.closed.is_set():
            return
        self.met.set()
        self._paths.opened(name, carrier, relayed=relayed)

    def lost(self, name: str) -> None:
        """Note that a path is gone."""
        self._paths.lost(name)

    def is_open(self, name: str | None = None) -> bool:
        """Return whether a path is there: this one, or any."""
        return self._paths.is_open(name)

    def silent(self) -> float:
        """Return for how many seconds the path that carries it has not answered; 0 where there is none."""
        return self._paths.silent(self.path.name)

    def _in_use(self) -> bool:
        return self._loop.time() - self._used < USED_FOR or not self._wire.settled

    def _chosen(self, choice: Choice) -> None:
        before, self.path = self.path, choice
        if choice.name == before.name:
            return
        if choice.name:
            self._wire.moved(self._loop.time())
        if self.on_path is not None:
            self.on_path(choice)
        self._soon()

    def _changed(self) -> None:
        for tell in self.on_paths:
            tell()

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
        if self.closed.is_set() or not self._paths.is_open(self.path.name):
            return
        full = False
        if (rtt := self._paths.rtt(self.path.name)) is not None:
            self._wire.rtt = rtt
        for way, lane in self._paths.lanes():
            while self._paths.is_open(way):
                if not self._paths.room(way, lane):
                    full = True
                    break
                packet = self._wire.poll(self._loop.time(), lane)
                if packet is None:
                    break
                if not self._paths.give(way, lane, packet):
                    return  # another path carries it from the next turn on
        due = self._wire.deadline()
        if full:
            self._pumping = self._loop.call_later(FULL_AGAIN, self.pump)
        elif due is not None:
            self._pumping = self._loop.call_at(due, self.pump)

    def receive(self, name: str, packet: bytes) -> None:
        """Take a packet that came on a path; none after the end."""
        if self.closed.is_set():
            return
        now = self._loop.time()
        self._paths.heard(name)
        for event in self._wire.receive(packet):
            match event:
                case wire.Ping(token):
                    if self._paths.is_open(name):
                        self._paths.give(name, "sure", frames.pack([frames.encode(frames.Pong(token))]))
                case wire.Pong(token):
                    self._paths.answered(name, token)
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
        if self._pumping is not None:
            self._pumping.cancel()
        self._paths.close()
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
        return self._paths.stats()
