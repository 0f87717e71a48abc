"""`connect`: an app's lasting connection to a hub, and what it knows of the hub's things."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import platform
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import msgspec
from msgspec import UNSET

from plait import __version__
from plait.app.changes import Change
from plait.app.thing import ThingProxy
from plait.transport.client import Client
from plait.wire import messages
from plait.wire.codec import convert
from plait.wire.errors import PlaitError, SessionLost, Timeout, UnknownOperation, UnknownThing, from_problem
from plait.wire.messages import PropertyState, ThingState

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from plait.app.call import Call
    from plait.app.changes import Changes
    from plait.transport.client import State
    from plait.wire.messages import Message

DEFAULT_HUB: Final = "http://127.0.0.1:8080"

_OBSERVE: Final = (messages.SUBSCRIBE_ALL_EVENTS, messages.OBSERVE_ALL_PROPERTIES)
"""What is asked for a thing that is watched: first the events, so that none falls between."""

log = logging.getLogger("plait.app")

SOFTWARE: Final = f"plait/{__version__} python/{platform.python_version()}"


def connect(
    hub: str | None = None,
    *,
    token: str | None = None,
    cookie: str | None = None,
    ssl: tls.SSLContext | None = None,
    timeout: float | None = 10.0,
) -> Home:
    """Connect to a hub.

    As in `async with connect("http://127.0.0.1:8080", token="…") as home: …`.

    Args:
        hub: the hub's address; absent, that in `PLAIT_HUB`, or `http://127.0.0.1:8080`.
        token: the user's token; absent, that in `PLAIT_TOKEN`.
        cookie: instead of a token, the cookie of a login.
        ssl: whom to trust for https.
        timeout: seconds that the hub has to be there; None to wait for as long as it takes. Once connected, a
            hub that goes away is dialled again for ever.

    Raises (on entering):
        Unauthorized, Forbidden: the hub does not take the credential.
        Timeout: no hub answered.
        ValueError: `hub` is not an address.
    """
    address = hub or os.environ.get("PLAIT_HUB") or DEFAULT_HUB
    if token is None and cookie is None:
        token = os.environ.get("PLAIT_TOKEN") or None
    return Home(address, token=token, cookie=cookie, ssl=ssl, timeout=timeout)


class Home:
    """A hub and its things. `connect` makes one.

    Attributes:
        hub: the hub's address.
        on_state: told of the connection: "connected", "resumed", "lost", "connecting", "closed".
        client: the session under it.
    """

    def __init__(
        self,
        hub: str,
        *,
        token: str | None,
        cookie: str | None,
        ssl: tls.SSLContext | None,
        timeout: float | None,
    ) -> None:
        self.hub = hub
        self.on_state: Callable[[State], None] | None = None
        self.client = Client(
            hub,
            on_message=self._take,
            on_state=self._moved,
            on_session=self._begin,
            token=token,
            cookie=cookie,
            software=SOFTWARE,
            ssl=ssl,
        )
        self._timeout = timeout
        self._things: dict[str, ThingState] = {}
        self._watchers: dict[str, list[_Watcher]] = {}
        self._observed: set[str] = set()
        self._calls: dict[str, Call] = {}
        self._known = asyncio.Event()  # the hub has told its things
        self._news = asyncio.Event()  # set and cleared with every change to `_things`
        self._refused: PlaitError | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.client.start(self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                await self._known.wait()
        except TimeoutError:
            await self.client.close(flush=0)
            raise Timeout(f"The hub at {self.hub} did not tell its things within {self._timeout} s") from None
        if self._refused is not None:
            await self.client.close(flush=0)
            raise self._refused
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.close()

    @property
    def rtt(self) -> float | None:
        """Seconds to the hub and back, as measured last."""
        return self.client.rtt

    async def things(self) -> list[ThingProxy]:
        """Return all things, by title."""
        proxies = [ThingProxy(self, thing_id) for thing_id in self._things]
        return sorted(proxies, key=lambda thing: (thing.title.casefold(), thing.id))

    def thing(self, name: str) -> ThingProxy:
        """Return the thing of an id or a title.

        Raises:
            UnknownThing: there is none, or several have this title; the detail says which there are.
        """
        if name in self._things:
            return ThingProxy(self, name)
        return self._one(name, [name.casefold() == title.casefold() for title in self._titles()])

    def find(self, text: str) -> ThingProxy:
        """Return the thing that a person means: by id, title, or a part of either that only one thing has.

        Raises:
            UnknownThing: none, or several.
        """
        with suppress(UnknownThing):
            return self.thing(text)
        part = text.casefold()
        fits = [
            part in thing_id.casefold() or part in title.casefold()
            for thing_id, title in zip(self._things, self._titles(), strict=True)
        ]
        return self._one(text, fits)

    async def wait_for(self, name: str, *, timeout: float | None = None) -> ThingProxy:  # noqa: ASYNC109 - says what did not come in time
        """Wait until there is a thing of this id or title.

        Raises:
            Timeout: there was none within `timeout` seconds.
        """

        def known() -> bool:
            try:
                return bool(self.thing(name))
            except UnknownThing:
                return False

        try:
            async with asyncio.timeout(timeout):
                await self.until(known)
        except TimeoutError:
            raise Timeout(f"No thing {name!r} within {timeout} s") from None
        return self.thing(name)

    # For proxies and calls

    def state_of(self, thing_id: str) -> ThingState:
        """Return what the hub has told of a thing.

        Raises:
            UnknownThing: nothing, or that it was removed.
        """
        try:
            return self._things[thing_id]
        except KeyError:
            raise UnknownThing(f"There is no thing {thing_id}") from None

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of the things.

        Raises:
            PlaitError: the connection was closed for good.
        """
        while not holds():
            if self._closed:
                raise self.client.error or SessionLost("The connection is closed")
            await self._news.wait()

    @asynccontextmanager
    async def watching(
        self, thing_id: str, changes: Changes, names: frozenset[str]
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Add to `changes` what happens at a thing, first what is known. Gives what waits for the next.

        Raises:
            UnknownThing: there is no such thing.
        """
        watcher = _Watcher(thing_id, changes, names)
        self._watchers.setdefault(thing_id, []).append(watcher)
        try:
            for request in _OBSERVE:
                answer = await self.client.request(request, thing_id=thing_id)
                self._observed.add(thing_id)
                if request == messages.OBSERVE_ALL_PROPERTIES:
                    watcher.presence(self.state_of(thing_id))
                    watcher.values(answer)
            yield partial(self._next, watcher)
        finally:
            self._watchers[thing_id].remove(watcher)
            if not self._watchers[thing_id]:
                del self._watchers[thing_id]
                self._observed.discard(thing_id)
                await self._stop_observing(thing_id)

    async def _next(self, watcher: _Watcher) -> None:
        """Wait until something was added.

        Raises:
            PlaitError: the connection was closed for good.
        """
        if self._closed:
            raise self.client.error or SessionLost("The connection is closed")
        await watcher.changed.wait()
        watcher.changed.clear()

    def enlist(self, call: Call) -> None:
        """Give a call its signals from now on."""
        self._calls[call.id] = call

    def dismiss(self, call: Call) -> None:
        """Give it no more."""
        self._calls.pop(call.id, None)

    # The client's callbacks

    def _begin(self) -> list[Message]:
        """Ask anew for all that is told: a new session knows nothing of the old one's observations."""
        asked = messages.request(messages.OBSERVE_THINGS)
        self.client.expect(asked).add_done_callback(self._told_things)
        first = [asked]
        self._observed.clear()
        for thing_id in self._watchers:
            first += self._observe(thing_id)
        return first

    def _observe(self, thing_id: str) -> list[Message]:
        requests = [messages.request(operation, thing_id=thing_id) for operation in _OBSERVE]
        for request in requests:
            self.client.expect(request).add_done_callback(self._observing)
        return requests

    def _observing(self, answer: asyncio.Future[Message]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        message = answer.result()
        if message.error is not UNSET or message.thing_id is UNSET:
            return  # not known (yet): asked again when the hub tells of it
        self._observed.add(message.thing_id)
        if message.operation == messages.OBSERVE_ALL_PROPERTIES:
            for watcher in self._watchers.get(message.thing_id, ()):
                watcher.values(message)

    def _told_things(self, answer: asyncio.Future[Message]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        message = answer.result()
        if message.error is not UNSET:
            self._refused = from_problem(message.error)
        else:
            states = convert(message.value, list[ThingState], field="/value")
            before, self._things = self._things, {}
            for state in states:
                self._note(str(state.description.get("id", "")), state)
            for thing_id in before.keys() - self._things.keys():
                self._note(thing_id, None)
        self._known.set()

    def _note(self, thing_id: str, state: ThingState | None) -> None:
        if state is None:
            self._things.pop(thing_id, None)
        else:
            self._things[thing_id] = state
            for watcher in self._watchers.get(thing_id, ()):
                watcher.presence(state)
        self._tell_news()

    def _tell_news(self) -> None:
        self._news.set()
        self._news.clear()

    def _moved(self, state: State) -> None:
        if state in {"connected", "closed"}:
            for call in tuple(self._calls.values()):
                call.lose("the connection to the hub was lost")
        if state == "closed":
            self._closed = True
            self._tell_news()
            for watcher in itertools.chain.from_iterable(self._watchers.values()):
                watcher.changed.set()
        if self.on_state is not None:
            self.on_state(state)

    async def _take(self, message: Message) -> None:
        thing_id = "" if message.thing_id is UNSET else message.thing_id
        match message.operation:
            case messages.OBSERVE_PROPERTY | messages.SUBSCRIBE_EVENT:
                for watcher in self._watchers.get(thing_id, ()):
                    watcher.told(message)
            case messages.OBSERVE_THINGS:
                await self._changed(thing_id, message)
            case messages.SIGNAL:
                await self._signalled(message)
            case messages.ERROR if message.error is not UNSET:
                log.error("the hub says: %s", from_problem(message.error))
            case operation if message.message_type == "request":
                raise UnknownOperation(f"An app does not answer `{operation}`", field="/operation")

    async def _changed(self, thing_id: str, message: Message) -> None:
        if message.value is None:
            self._note(thing_id, None)
            return
        state = convert(message.value, ThingState, field="/value")
        known = self._things.get(thing_id)
        if known is not None and not state.properties:
            state = msgspec.structs.replace(state, properties=known.properties)
        self._note(thing_id, state)
        if thing_id in self._watchers and thing_id not in self._observed:
            for name in _OBSERVE:
                answer = await self.client.request(name, thing_id=thing_id)
                self._observed.add(thing_id)
                if name == messages.OBSERVE_ALL_PROPERTIES:
                    for watcher in self._watchers.get(thing_id, ()):
                        watcher.values(answer)

    async def _signalled(self, message: Message) -> None:
        call = self._calls.get(str(message.call))
        if message.message_type == "notification":
            if call is not None:
                call.take(message.data)
            return
        if call is None:
            raise UnknownOperation("There is no such call", field="/call")
        self.client.respond(message, call=call.id, output=await call.take_offer(message.data))

    async def _stop_observing(self, thing_id: str) -> None:
        ends = (messages.UNOBSERVE_ALL_PROPERTIES, messages.UNSUBSCRIBE_ALL_EVENTS)
        with suppress(PlaitError):  # where the hub is away, it forgets us by itself
            await asyncio.gather(*(self.client.request(end, thing_id=thing_id, timeout=1.0) for end in ends))

    # Names

    def _titles(self) -> list[str]:
        return [str(state.description.get("title", "")) for state in self._things.values()]

    def _one(self, name: str, fits: list[bool]) -> ThingProxy:
        found = [thing_id for thing_id, fit in zip(self._things, fits, strict=True) if fit]
        if len(found) == 1:
            return ThingProxy(self, found[0])
        if found:
            raise UnknownThing(f"Several things fit {name!r}: {', '.join(sorted(found))}")
        there = ", ".join(sorted(self._things)) or "no things at all"
        raise UnknownThing(f"There is no thing {name!r}; the hub has {there}")


class _Watcher:
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
        """Take last known values."""
        for name, state in convert(answer.value, dict[str, PropertyState], field="/value").items():
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
