"""The other things that a thing may use: `thing.peer("lamp")`.

    class Button(Thing):
        pressed = event()

        async def main(self) -> None:
            lamp = self.peer("lamp")
            async for _ in presses():
                self.pressed.emit()
                await lamp.invoke("toggle")

The owner says who may use whom (`plait pair button lamp`). From then on the thing keeps a link to the other:
through the hub at first, directly when that opens, and without the hub for as long as the permission lasts.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from plait.link.changes import Change, Changes
from plait.link.consumed import PATIENCE, ConsumedThing
from plait.thing.pairing.line import Line
from plait.wire import messages
from plait.wire.codec import convert
from plait.wire.errors import Forbidden, Offline, PlaitError, UnknownThing
from plait.wire.messages import PropertyState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from plait.link.asking import Asking
    from plait.link.link import Link
    from plait.link.opener import LinkOpener
    from plait.thing.pairing.grants import Grants
    from plait.thing.thing import Thing
    from plait.transport.client import Client
    from plait.transport.connections import State
    from plait.wire.grant import Grant
    from plait.wire.messages import Message

T = TypeVar("T")

_PEERS: Final = "_plait_peers"

_OBSERVE: Final = (messages.SUBSCRIBE_ALL_EVENTS, messages.OBSERVE_ALL_PROPERTIES)

log = logging.getLogger("plait.thing")


class Peer(ConsumedThing):
    """Another thing, as one that may use it sees it; `Thing.peer` gives it.

    What it asks waits, up to its `timeout`, for the permission and for the link. Then it raises `Forbidden`
    where there is no permission, `PermissionExpired` where there was one, and `Offline` where there is no way
    to the other thing.

    Attributes:
        name: what it was asked for by: the other thing's id, or the last part of it.
    """

    def __init__(self, name: str, peers: Peers) -> None:
        self.name = name
        self._peers = peers

    def __repr__(self) -> str:
        return f"<peer {self.name}>"

    @property
    def id(self) -> str:
        """The other thing's id; empty before there is a permission for it."""
        line = self._peers.line(self.name)
        return "" if line is None else line.grant.thing

    @property
    def link(self) -> Link | None:
        """The link to it, for channels of your own; None while there is none."""
        line = self._peers.line(self.name)
        return None if line is None else line.link

    async def linked(self, *, timeout: float | None = None) -> Link:  # noqa: ASYNC109 - says why there is none
        """Wait until there is a link, and return it; errors as in the class."""
        return (await self._open(timeout))[0]

    async def description(self, *, timeout: float = PATIENCE) -> Mapping[str, Any]:  # noqa: ASYNC109 - the deadline
        """Return its Thing Description (TD 1.1)."""
        answer = await self._ask(messages.DESCRIBE_THING, timeout)
        return convert(answer.output, dict[str, Any], field="/output")

    async def watch(self, *names: str, limit: int = 256) -> AsyncIterator[Change]:
        """Yield what happens at the other thing, for as long as it is iterated: values first, as they are.

        Over a break of the link it goes on: values that changed meanwhile come as one change each; events
        that happened meanwhile are not told again.

        Args:
            names: properties and events; absent, all that the permission covers.
            limit: how many changes may wait.

        Raises:
            Forbidden, PermissionExpired: as for requests.
        """
        while True:
            link, asking = await self._open(None)
            changes, news = Changes(limit), asyncio.Event()

            def told(message: Message, changes: Changes = changes, news: asyncio.Event = news) -> None:
                change = _change(message, self.id)
                if change is not None and (not names or change.name in names):
                    changes.add(change)
                    news.set()

            remove = self._peers.listen(self.name, told)
            try:
                await self._observe(asking, changes, names)
                async for change in _drain(changes, news, link):
                    yield change
            except Forbidden:
                raise
            except PlaitError as error:
                log.info("what %s tells is not heard: %s", self.name, error)
            finally:
                remove()

    async def _observe(self, asking: Asking, changes: Changes, names: tuple[str, ...]) -> None:
        for operation in _OBSERVE:
            answer = await asking.ask(operation, PATIENCE, thing_id=self.id)
            if operation != messages.OBSERVE_ALL_PROPERTIES:
                continue
            for name, state in convert(answer.value, dict[str, PropertyState], field="/value").items():
                if not names or name in names:
                    changes.catch_up(Change(self.id, "property", name, state.value, state.timestamp))

    async def _ask(self, operation: str, patience: float, **members: Any) -> Message:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        _, asking = await self._open(patience)
        left = max(0.001, until - loop.time())
        return await asking.ask(operation, left, thing_id=self.id, **members)

    async def _open(self, patience: float | None) -> tuple[Link, Asking]:
        try:
            async with asyncio.timeout(patience):
                return await self._peers.open(self.name)
        except TimeoutError:
            raise self._peers.hindrance(self.name) from None


class Peers:
    """The other ends of one thing's pairs, by name.

    Attributes:
        openers: the links that are open, by id.
    """

    def __init__(self) -> None:
        self.openers: dict[str, LinkOpener] = {}
        self._client: Client | None = None
        self._grants: Grants | None = None
        self._peers: dict[str, Peer] = {}
        self._lines: dict[str, Line] = {}  # by the other thing's id
        self._over: dict[str, PlaitError] = {}
        self._news = asyncio.Event()

    def peer(self, name: str) -> Peer:
        """Return the peer of this name."""
        return self._peers.setdefault(name, Peer(name, self))

    def attach(self, client: Client, grants: Grants) -> None:
        """Open links through this session from now on."""
        self._client, self._grants = client, grants

    async def close(self) -> None:
        """End the links."""
        lines, self._lines = self._lines, {}
        await asyncio.gather(*(line.close() for line in lines.values()))

    # What Pairs hands on

    def given(self, grant: Grant) -> None:
        """Take a permission to use another thing."""
        assert self._client is not None  # noqa: S101 - attached before
        assert self._grants is not None  # noqa: S101 - as above
        self._over.pop(grant.thing, None)
        line = self._lines.get(grant.thing)
        if line is not None and line.grant.id == grant.id:
            line.renew(grant)
        else:
            self._lines[grant.thing] = Line(
                grant, self._client, self._grants, self.openers, changed=self._tell
            )
        self._tell()

    def over(self, pairing: str, why: PlaitError) -> None:
        """End what a permission allowed."""
        for thing_id, line in tuple(self._lines.items()):
            if line.grant.id == pairing:
                del self._lines[thing_id]
                self._over[thing_id] = why
                line.end(why)
        self._tell()

    def moved(self, state: State) -> None:
        """Follow the session."""
        for opener in tuple(self.openers.values()):
            opener.moved(state)

    # For peers

    def line(self, name: str) -> Line | None:
        """Return what keeps the link to the thing of this name.

        Raises:
            UnknownThing: several have it.
        """
        return self._one(name, self._lines)

    async def open(self, name: str) -> tuple[Link, Asking]:
        """Wait until there is a link to the thing of this name.

        Raises:
            Forbidden, PermissionExpired: there was a permission, and it is over.
        """
        while True:
            line = self.line(name)
            if line is not None and (way := line.way) is not None:
                return way
            if line is None and (why := self._one(name, self._over)) is not None:
                raise type(why)(why.detail)
            await self._news.wait()

    def hindrance(self, name: str) -> PlaitError:
        """Return why there is no link to the thing of this name."""
        line = self.line(name)
        if line is None:
            return Forbidden(f"there is no permission to use {name}; its owner gives one with `plait pair`")
        return Offline(f"there is no way to {line.grant.thing}: {line.error or 'it has not answered yet'}")

    def listen(self, name: str, told: Callable[[Message], None]) -> Callable[[], None]:
        """Give `told` what the thing of this name tells over its link; returns what ends that."""
        line = self.line(name)
        if line is None:
            raise self._one(name, self._over) or self.hindrance(name)
        line.listeners.append(told)
        return partial(line.listeners.remove, told)

    def _one(self, name: str, among: Mapping[str, T]) -> T | None:
        found = [thing_id for thing_id in among if name in (thing_id, thing_id.rpartition(":")[2])]
        if len(found) > 1 and name not in found:
            raise UnknownThing(f"several are called {name}: {', '.join(sorted(found))}")
        return among[name] if name in found else among[found[0]] if found else None

    def _tell(self) -> None:
        self._news.set()
        self._news.clear()


def peers_of(thing: Thing) -> Peers:
    """Return a thing's peers."""
    peers: Peers = vars(thing).setdefault(_PEERS, Peers())
    return peers


def _change(message: Message, thing_id: str) -> Change | None:
    if message.name is msgspec.UNSET:
        return None
    is_event = message.operation == messages.SUBSCRIBE_EVENT
    value = message.data if is_event else message.value
    timestamp = messages.now() if message.timestamp is msgspec.UNSET else message.timestamp
    plain = None if value is msgspec.UNSET else value
    return Change(thing_id, "event" if is_event else "property", message.name, plain, timestamp)


async def _drain(changes: Changes, news: asyncio.Event, link: Link) -> AsyncIterator[Change]:
    """Yield changes until the link is over; raises why, where its right is."""
    closing = asyncio.ensure_future(link.closed.wait())
    closing.add_done_callback(lambda _: news.set())
    try:
        while True:
            while (change := changes.take()) is not None:
                yield change
            if link.closed.is_set():
                break
            await news.wait()
            news.clear()
    finally:
        closing.cancel()
    if isinstance(link.error, Forbidden):
        raise link.error
