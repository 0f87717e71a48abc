"""Who watches which thing, what the hub has been asked for them, and what each is told."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from plait.app.doubled import Doubled
from plait.link.changes import Change
from plait.wire import messages
from plait.wire.codec import convert
from plait.wire.errors import PlaitError, SessionLost
from plait.wire.messages import PropertyState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from plait.link.changes import Changes
    from plait.link.opener import LinkOpener
    from plait.transport.client import Client
    from plait.wire.messages import Message, ThingState

_OBSERVE: Final = (messages.SUBSCRIBE_ALL_EVENTS, messages.OBSERVE_ALL_PROPERTIES)
"""What is asked for a thing that is watched: first the events, so that none falls between."""

_UNOBSERVE: Final = (messages.UNOBSERVE_ALL_PROPERTIES, messages.UNSUBSCRIBE_ALL_EVENTS)

_WITHIN: Final = 10.0
"""Seconds that a thing has for an answer over its link."""

_UNOBSERVE_WITHIN: Final = 1.0
"""Seconds; where the hub is away it forgets us by itself."""


class Watching:
    """All watchers of one app.

    Args:
        client: the session with the hub.
        state_of: what is known of a thing; raises UnknownThing.
    """

    def __init__(self, client: Client, state_of: Callable[[str], ThingState]) -> None:
        self._client = client
        self._state_of = state_of
        self._watchers: dict[str, list[Watcher]] = {}
        self._observed: set[str] = set()
        self._linked: dict[str, Doubled] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @asynccontextmanager
    async def watch(
        self, thing_id: str, changes: Changes, names: frozenset[str]
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Add to `changes` what happens at a thing, first what is known. Gives what waits for the next.

        Raises:
            UnknownThing: there is no such thing.
        """
        watcher = Watcher(thing_id, changes, names)
        self._watchers.setdefault(thing_id, []).append(watcher)
        try:
            watcher.presence(self._state_of(thing_id))
            self._ask_directly(thing_id)
            await self._ask(thing_id, [watcher])
            yield partial(self._next, watcher)
        finally:
            self._watchers[thing_id].remove(watcher)
            if not self._watchers[thing_id]:
                del self._watchers[thing_id]
                self._observed.discard(thing_id)
                await self._stop(thing_id)

    def begin(self) -> list[Message]:
        """Return what to ask anew: a new session knows nothing of the old one's observations."""
        self._observed.clear()
        requests = [
            messages.request(operation, thing_id=thing_id)
            for thing_id in self._watchers
            for operation in _OBSERVE
        ]
        for request in requests:
            self._client.expect(request).add_done_callback(self._answered)
        return requests

    def told(self, message: Message) -> None:
        """Take the hub's notification of a value or an event."""
        doubled = self._linked.get(str(message.thing_id))
        if doubled is None:
            self._tell(message)
        else:
            doubled.by_hub(message)

    def linked(self, opener: LinkOpener) -> None:
        """Take what a thing tells over a link as well: there it comes sooner, and without the hub."""
        thing_id, way = opener.thing_id, opener.asking
        assert way is not None  # noqa: S101 - the link is open
        doubled = self._linked.get(thing_id)
        if doubled is None:
            doubled = self._linked[thing_id] = Doubled(way, self._tell)
        else:
            doubled.linked(way)
        # Whatever it says, it speaks for itself.
        way.on_told = lambda told: doubled.by_link(msgspec.structs.replace(told, thing_id=thing_id))
        # While it is the hub that carries the link, what the hub tells anyway is not told twice over it.
        way.on_direct = lambda direct: self._ask_directly(thing_id, _OBSERVE if direct else _UNOBSERVE)

    def _tell(self, message: Message) -> None:
        for watcher in self._watchers.get(str(message.thing_id), ()):
            watcher.told(message)

    def _ask_directly(self, thing_id: str, operations: tuple[str, ...] = _OBSERVE) -> None:
        doubled = self._linked.get(thing_id)
        if doubled is None or doubled.way.over:
            return
        if operations is _UNOBSERVE or (doubled.way.direct and thing_id in self._watchers):
            task = asyncio.create_task(self._over_link(doubled, thing_id, operations))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _over_link(self, doubled: Doubled, thing_id: str, operations: tuple[str, ...]) -> None:
        if operations is _OBSERVE and self._client.connected:
            doubled.hold()
        with suppress(PlaitError):  # an earlier release tells nothing over links: the hub does
            for operation in operations:
                answer = await doubled.way.ask(operation, _WITHIN, thing_id=thing_id)
                if operation == messages.SUBSCRIBE_ALL_EVENTS:
                    doubled.reported(answer.timestamp)
                if operation == messages.OBSERVE_ALL_PROPERTIES:
                    states = convert(answer.value, dict[str, PropertyState], field="/value")
                    doubled.in_turn(partial(self._catch_up, doubled, thing_id, states))

    def _catch_up(self, doubled: Doubled, thing_id: str, states: Mapping[str, PropertyState]) -> None:
        fresh = {name: state for name, state in states.items() if doubled.fresh(name, state)}
        for watcher in self._watchers.get(thing_id, ()):
            watcher.catch_up(fresh)

    def noted(self, thing_id: str, state: ThingState) -> None:
        """Take a thing's presence."""
        for watcher in self._watchers.get(thing_id, ()):
            watcher.presence(state)

    async def found(self, thing_id: str) -> None:
        """Ask for a thing that is watched, and that the hub did not know when it was asked before."""
        if thing_id in self._watchers and thing_id not in self._observed:
            await self._ask(thing_id, self._watchers[thing_id])

    def close(self) -> None:
        """End all watches, since the connection is closed for good."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for watcher in itertools.chain.from_iterable(self._watchers.values()):
            watcher.changed.set()

    async def _next(self, watcher: Watcher) -> None:
        """Wait until something was added.

        Raises:
            PlaitError: the connection was closed for good.
        """
        if self._closed:
            raise self._client.error or SessionLost("The connection is closed")
        await watcher.changed.wait()
        watcher.changed.clear()

    async def _ask(self, thing_id: str, watchers: list[Watcher]) -> None:
        for operation in _OBSERVE:
            answer = await self._client.request(operation, thing_id=thing_id)
            self._observed.add(thing_id)
            if operation == messages.OBSERVE_ALL_PROPERTIES:
                for watcher in watchers:
                    watcher.values(answer)

    def _answered(self, answer: asyncio.Future[Message]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        message = answer.result()
        if message.error is not UNSET or message.thing_id is UNSET:
            return  # not known (yet): asked again when the hub tells of it
        self._observed.add(message.thing_id)
        if message.operation == messages.OBSERVE_ALL_PROPERTIES:
            for watcher in self._watchers.get(message.thing_id, ()):
                watcher.values(message)

    async def _stop(self, thing_id: str) -> None:
        self._ask_directly(thing_id, _UNOBSERVE)
        with suppress(PlaitError):
            await asyncio.gather(
                *(
                    self._client.request(operation, thing_id=thing_id, timeout=_UNOBSERVE_WITHIN)
                    for operation in _UNOBSERVE
                )
            )


class Watcher:
    """One `watch` of one thing.

    Attributes:
        changed: set with every change added.
    """

    def __init__(self, thing_id: str, changes: Changes, names: frozenset[str]) -> None:
        self.changed = asyncio.Event()
        self._thing_id = thing_id
        self._changes = changes
        self._names = names

    def told(self, message: Message) -> None:
        """Take a notification of a value or an event."""
        if message.name is UNSET or (self._names and message.name not in self._names):
            return
        is_event = message.operation == messages.SUBSCRIBE_EVENT
        value = message.data if is_event else message.value
        self._changes.add(
            Change(
                self._thing_id,
                "event" if is_event else "property",
                message.name,
                None if value is UNSET else value,
                messages.now() if message.timestamp is UNSET else message.timestamp,
            )
        )
        self.changed.set()

    def values(self, answer: Message) -> None:
        """Take last known values, as the hub has told them."""
        self.catch_up(convert(answer.value, dict[str, PropertyState], field="/value"))

    def catch_up(self, states: Mapping[str, PropertyState]) -> None:
        """Take last known values, where they are news."""
        for name, state in states.items():
            if not self._names or name in self._names:
                self._changes.catch_up(Change(self._thing_id, "property", name, state.value, state.timestamp))
        self.changed.set()

    def presence(self, state: ThingState) -> None:
        """Take whether the thing is connected."""
        if not self._names:
            presence = state.presence
            self._changes.catch_up(
                Change(self._thing_id, "presence", "presence", presence.state, presence.since)
            )
            self.changed.set()
