"""`connect`: an app's lasting connection to a hub, and what it knows of the hub's things."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import msgspec
from msgspec import UNSET

from plait import __version__
from plait.app.thing import ThingProxy
from plait.app.watching import Watching
from plait.transport.client import Client
from plait.transport.trust import trust
from plait.wire import messages
from plait.wire.codec import convert
from plait.wire.errors import SessionLost, Timeout, UnknownOperation, UnknownThing, from_problem
from plait.wire.messages import ThingState

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from plait.app.call import Call
    from plait.link.asking import Asking
    from plait.link.opener import LinkOpener
    from plait.transport.connections import State
    from plait.transport.trust import Trust
    from plait.wire.errors import PlaitError
    from plait.wire.messages import Message

DEFAULT_HUB: Final = "http://127.0.0.1:8080"

log = logging.getLogger("plait.app")

SOFTWARE: Final = f"plait/{__version__} python/{platform.python_version()}"


def connect(
    hub: str | None = None,
    *,
    token: str | None = None,
    cookie: str | None = None,
    ssl: tls.SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
    timeout: float | None = 10.0,
) -> Home:
    """Connect to a hub.

    As in `async with connect("http://127.0.0.1:8080", token="…") as home: …`.

    Args:
        hub: the hub's address; absent, that in `PLAIT_HUB`, or `http://127.0.0.1:8080`.
        token: the user's token; absent, that in `PLAIT_TOKEN`.
        cookie: instead of a token, the cookie of a login.
        ssl: whom to trust for https.
        ca: instead of it, a file with PEM certificates, or a hub's pin (`sha256:…`, as `plait hub ca` prints
            it); absent, that in `PLAIT_CA`, or the system's authorities.
        timeout: seconds that the hub has to be there; None to wait for as long as it takes. Once connected, a
            hub that goes away is dialled again for ever.

    Raises (on entering):
        Unauthorized, Forbidden: the hub does not take the credential.
        Timeout: no hub answered.
        ValueError: `hub` is not an address, or `ca` neither a file of certificates nor a pin.
    """
    address = hub or os.environ.get("PLAIT_HUB") or DEFAULT_HUB
    if token is None and cookie is None:
        token = os.environ.get("PLAIT_TOKEN") or None
    return Home(address, token=token, cookie=cookie, ssl=trust(ssl, ca), timeout=timeout)


class Home:
    """A hub and its things. `connect` makes one.

    Attributes:
        hub: the hub's address.
        on_lost: told that the hub had forgotten the session, with the requests whose outcome is not known.
        on_state: told of the connection: "connected", "resumed", "lost", "connecting", "closed".
        client: the session under it.
        watching: who watches what.
        links: the open links, by id.
    """

    def __init__(
        self,
        hub: str,
        *,
        token: str | None,
        cookie: str | None,
        ssl: Trust | None,
        timeout: float | None,
    ) -> None:
        self.hub = hub
        self.on_state: Callable[[State], None] | None = None
        self.on_lost: Callable[[Sequence[messages.Message]], None] | None = None
        self.client = Client(
            hub,
            on_message=self._take,
            on_state=self._moved,
            on_lost=self._lost,
            on_session=self._begin,
            token=token,
            cookie=cookie,
            software=SOFTWARE,
            ssl=ssl,
        )
        self._timeout = timeout
        self._things: dict[str, ThingState] = {}
        self.watching = Watching(self.client, self.state_of)
        self._calls: dict[str, Call] = {}
        self.links: dict[str, LinkOpener] = {}
        self._known = asyncio.Event()  # the hub has told its things
        self._news = asyncio.Event()  # set and cleared with every change to `_things`
        self._refused: PlaitError | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.client.start(self._timeout)
        try:
            async with asyncio.timeout(self._timeout) as limit:
                await self._known.wait()
        except BaseException as error:
            await self.client.close(flush=0)
            if isinstance(error, TimeoutError) and limit.expired():
                raise Timeout(f"The hub at {self.hub} told no things within {self._timeout} s") from None
            raise
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

    def way(self, thing_id: str) -> Asking | None:
        """Return what asks a thing directly, past the hub, where there is an open link and a direct path."""
        for opener in self.links.values():
            if opener.thing_id == thing_id and opener.asking is not None and opener.asking.direct:
                return opener.asking
        return None

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
        return [asked, *self.watching.begin()]

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
            self.watching.noted(thing_id, state)
        self._tell_news()

    def _tell_news(self) -> None:
        self._news.set()
        self._news.clear()

    def _lost(self, unknown: Sequence[messages.Message]) -> None:
        if self.on_lost is not None:
            self.on_lost(unknown)

    def _moved(self, state: State) -> None:
        for call in tuple(self._calls.values()):
            call.moved(state)
        for link in tuple(self.links.values()):
            link.moved(state)
        if state == "closed":
            self._closed = True
            self._tell_news()
            self.watching.close()
        if self.on_state is not None:
            self.on_state(state)

    async def _take(self, message: Message) -> None:
        thing_id = "" if message.thing_id is UNSET else message.thing_id
        match message.operation:
            case messages.OBSERVE_PROPERTY | messages.SUBSCRIBE_EVENT:
                self.watching.told(message)
            case messages.OBSERVE_THINGS:
                await self._changed(thing_id, message)
            case messages.SIGNAL:
                await self._signalled(message)
            case messages.LINK | messages.END_LINK:
                if (link := self.links.get(str(message.call))) is not None:
                    link.take(message)
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
        await self.watching.found(thing_id)

    async def _signalled(self, message: Message) -> None:
        call = self._calls.get(str(message.call))
        if message.message_type == "notification":
            if call is not None:
                call.take(message.data)
            return
        if call is None:
            raise UnknownOperation("There is no such call", field="/call")
        self.client.respond(message, call=call.id, output=await call.take_offer(message.data))

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
