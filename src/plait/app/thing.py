"""`ThingProxy`: a thing as an app sees it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.app.call import Call
from plait.app.pictures import picture
from plait.link.changes import Changes
from plait.link.consumed import PATIENCE, ConsumedThing
from plait.wire import messages
from plait.wire.codec import convert
from plait.wire.errors import PlaitError, Timeout
from plait.wire.pace import LARGEST, WIDTH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from plait.app.home import Home
    from plait.app.live import Live
    from plait.link.changes import Change
    from plait.link.opener import LinkOpener
    from plait.wire.messages import Presence, ThingState


_DIRECT: Final = frozenset({messages.READ_PROPERTY, messages.WRITE_PROPERTY})


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """A number in a stretch of time: `statistics` gives them.

    Attributes:
        start: when it begins.
        mean, minimum, maximum: of its readings.
        count: how many there are.
    """

    start: datetime
    mean: float
    minimum: float
    maximum: float
    count: int


class ThingProxy(ConsumedThing):
    """A thing of the hub. What it asks raises the typed errors of `plait.wire.errors`.

    Each request raises `Offline` where the thing is away and must not be, `Timeout` where no answer came in
    `timeout` seconds, `UnknownThing` and `UnknownAffordance` where there is no such thing, and `Forbidden`
    where the token does not allow it.

    Attributes:
        id: its id, a URI.
    """

    def __init__(self, home: Home, thing_id: str) -> None:
        self.id = thing_id
        self._home = home

    def __repr__(self) -> str:
        return f"<{self.title} {self.id} {self.presence.state}>"

    @property
    def state(self) -> ThingState:
        """Its description, presence and last known values, as the hub has told them.

        Raises:
            UnknownThing: it has been removed.
        """
        return self._home.state_of(self.id)

    @property
    def description(self) -> dict[str, Any]:
        """Its Thing Description (TD 1.1)."""
        return self.state.description

    @property
    def title(self) -> str:
        """Its name for people."""
        return str(self.description.get("title", self.id))

    @property
    def presence(self) -> Presence:
        """Whether it is connected to the hub, and since when it is so."""
        return self.state.presence

    @property
    def properties(self) -> dict[str, dict[str, Any]]:
        """What can be read, watched and, unless `readOnly`, written; affordances by name."""
        return dict(self.description.get("properties", {}))

    @property
    def actions(self) -> dict[str, dict[str, Any]]:
        """What it can do; affordances by name."""
        return dict(self.description.get("actions", {}))

    @property
    def events(self) -> dict[str, dict[str, Any]]:
        """What it may tell; affordances by name."""
        return dict(self.description.get("events", {}))

    async def history(
        self,
        name: str,
        start: datetime,
        end: datetime | None = None,
        *,
        limit: int | None = None,
        timeout: float = PATIENCE,  # noqa: ASYNC109 - as above
    ) -> Sequence[tuple[datetime, Any]]:
        """Return a property's past values, oldest first.

        Args:
            name: the property.
            start: the earliest time, with a UTC offset.
            end: the latest time.
            limit: the newest so many of them.
            timeout: seconds.
        """
        asked = {"from": start, "to": end, "limit": limit}
        given = msgspec.to_builtins({member: value for member, value in asked.items() if value is not None})
        answer = await self._ask(messages.READ_HISTORY, timeout, name=name, input=given)
        return convert(answer.value, list[tuple[datetime, Any]], field="/value")

    async def statistics(
        self,
        name: str,
        start: datetime,
        end: datetime | None = None,
        *,
        buckets: int = 300,
        timeout: float = PATIENCE,  # noqa: ASYNC109 - as above
    ) -> Sequence[Bucket]:
        """Return a number's past, summed up in equal stretches of time: what a chart of a month needs.

        Args:
            name: a property that is a number.
            start: the earliest time, with a UTC offset.
            end: the latest time; absent, now.
            buckets: into how many stretches it is cut, at most 5,000. Those without a reading are left out.
            timeout: seconds.

        Raises:
            InvalidMessage: the property is no number, or there is no such stretch.
        """
        asked = {"from": start, "to": end, "buckets": buckets}
        given = msgspec.to_builtins({member: value for member, value in asked.items() if value is not None})
        answer = await self._ask(messages.READ_STATISTICS, timeout, name=name, input=given)
        return convert(answer.value, list[Bucket], field="/value")

    async def watch(self, *names: str, limit: int = 256) -> AsyncIterator[Change]:
        """Yield what happens at the thing, for as long as it is iterated.

        It begins with the thing's presence and last known values. Over a break of the connection it goes on;
        values that changed meanwhile come as one change each. Where the program is slower than the changes,
        the newest value of each property wins; events go last.

        Args:
            names: properties and events; absent, all of them, and the presence.
            limit: how many changes may wait.

        Raises:
            UnknownThing: there is no such thing.
            Unauthorized: the hub does not take the credential any more.
            SessionLost: the connection was closed by leaving `connect`.
        """
        changes = Changes(limit)
        async with self._home.watching.watch(self.id, changes, frozenset(names)) as another:
            while True:
                while (change := changes.take()) is not None:
                    yield change
                await another()

    async def online(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - says what did not come in time
        """Wait until it is connected to the hub.

        Raises:
            Timeout: it was not within `timeout` seconds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._home.until(lambda: self.presence.state == "online")
                return
        raise Timeout(f"{self.title} did not come online within {timeout} s")

    def call(self) -> Call:
        """Return a WebRTC call to it: `async with lamp.call() as call: …`; see `plait.app.call.Call`."""
        return Call(self._home, self.id)

    def video(self, *, limit: int = 2) -> Live:
        """Return its live picture by whatever way there is: an async iterator of `av.VideoFrame`.

        Video by WebRTC, called again by itself when it breaks; meanwhile, and where no path opens, still
        pictures through the hub. Its `way` and `why` tell which; see `plait.app.live.Live`. Needs the
        extra `media`.

        Args:
            limit: how many frames may wait; where the program is slower, the oldest go.
        """
        try:
            from plait.app.live import Live  # noqa: PLC0415 - an app without video needs neither engine nor PyAV
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "Video needs the extra `media` (pip install 'plait[media]'); `picture()` gives JPEGs without"
            ) from error
        return Live(self._home, self.id, limit=limit)

    async def picture(
        self,
        *,
        width: int = WIDTH,
        size: int = LARGEST,
        timeout: float = PATIENCE,  # noqa: ASYNC109 - travels as the deadline
    ) -> bytes:
        """Return a still picture of this moment through the hub, as JPEG.

        Args:
            width: pixels across at most.
            size: bytes at most; fewer bytes, fewer pixels.
            timeout: seconds.

        Raises:
            UnknownOperation: it sends no pictures.
            ActionFailed: it has none now.
        """
        return await picture(self._home.client, self.id, width=width, size=size, patience=timeout)

    def link(self, *, direct: bool = True) -> LinkOpener:
        """Return a link to it: `async with lamp.link() as link: …`; see `plait.link.Link`.

        Args:
            direct: look for a direct path, and move to it when it is better.
        """
        from plait.link.opener import LinkOpener  # noqa: PLC0415 - an app without links needs no engine

        return LinkOpener(
            self._home.client, self._home.links, self.id, direct=direct, on_open=self._home.watching.linked
        )

    async def _ask(self, operation: str, patience: float, **members: Any) -> messages.Message:
        try:
            if (way := self._home.way(self.id)) is not None and self._is_direct(operation, members):
                return await way.ask(operation, patience, thing_id=self.id, **members)
            return await self._home.client.request(operation, timeout=patience, thing_id=self.id, **members)
        except PlaitError as error:
            error.add_note(f"asked of {self.id}: {operation} {members.get('name', '')}".rstrip())
            raise

    def _is_direct(self, operation: str, members: dict[str, Any]) -> bool:
        """Return whether a request may pass the hub by where there is a direct path.

        Its journal says of an action that it was done once; doing these twice is doing them once.
        """
        if operation == messages.INVOKE_ACTION:
            action = self.actions.get(str(members.get("name")), {})
            return bool(action.get("safe") or action.get("idempotent"))
        return operation in _DIRECT
