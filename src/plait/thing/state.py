"""What a running thing knows: the last reading of each property, and the reports on their way to the hub.

Assigning to a property and emitting an event may happen on any thread; what follows, on the event loop's.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from plait.thing.clock import Clock
from plait.thing.errors import SpoolFull
from plait.wire.errors import InvalidValue
from plait.wire.messages import OBSERVE_PROPERTY, SUBSCRIBE_EVENT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from plait.thing.definition import Definition
    from plait.thing.thing import Thing
    from plait.thing.values import Kind

WAITING: Final = 10_000
"""Reports that wait for a thing to be served; beyond it the oldest readings go."""

_STATE: Final = "_plait_state"
_TICK: Final = timedelta(microseconds=1)


class Reading(msgspec.Struct, frozen=True):
    """A property's value and when it was true.

    Attributes:
        value: as Python sees it, of the hint's type.
        data: the same as plain data.
        timestamp: when it was assigned.
    """

    value: Any
    data: Any
    timestamp: datetime


class Sink(Protocol):
    """Takes reports to the hub; `Client.notify` is one."""

    def __call__(self, operation: str, **members: Any) -> object:
        """Send one notification."""


class State:
    """The state of one thing.

    Args:
        owner: the thing's class's name, for errors.
        definition: what the class declares.

    Attributes:
        clock: what its reports are dated by.
        admit: asked before an event is taken; raises where there is no room for it.
        keep: returns when all that was handed on is kept.
    """

    def __init__(self, owner: str, definition: Definition) -> None:
        self.clock = Clock()
        self.admit: Callable[[dict[str, Any]], None] | None = None
        self.keep: Callable[[], Awaitable[None]] | None = None
        self._stamp = self.clock.now()
        self._owner = owner
        self._definition = definition
        self._readings: dict[str, Reading] = {}
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._sink: Sink | None = None
        self._listeners: list[Sink] = []

    @property
    def last(self) -> datetime:
        """When the last report was made."""
        return self._stamp

    def reading(self, name: str) -> Reading | None:
        """Return a property's last reading; None before the first."""
        return self._readings.get(name)

    def report(self, name: str, value: Any) -> None:
        """Take a property's new value, true from now, and send it on its way. From any thread.

        Raises:
            InvalidValue: it does not fit the property's type.
        """
        declared = self._definition.properties[name]
        kept, data = self._checked(declared.kind, value, declared.attribute, "/value")
        with self._lock:
            reading = Reading(kept, data, self._time())
            self._readings[name] = reading
            self._make_room()
            self._waiting.append((OBSERVE_PROPERTY, _members(name, reading)))
        self._wake()

    def emit(self, name: str, data: Any) -> None:
        """Send an event on its way. From any thread.

        Raises:
            InvalidValue: the data does not fit the event's type.
            SpoolFull: so many events wait already that there is no room for it.
        """
        declared = self._definition.events[name]
        members: dict[str, Any] = {"name": name}
        if declared.kind is not None:
            _, members["data"] = self._checked(declared.kind, data, declared.attribute, "/data")
        elif data is not None:
            raise InvalidValue(f"{self._owner}.{declared.attribute}: it carries nothing", field="/data")
        if self.admit is not None:
            self.admit(members)
        with self._lock:
            if not self._make_room():
                raise SpoolFull(f"{WAITING} events wait to be told; this one is not kept")
            members["timestamp"] = self._time()
            self._waiting.append((SUBSCRIBE_EVENT, members))
        self._wake()

    def repeat(self, name: str) -> None:
        """Send a property's last reading on its way once more. On the loop's thread.

        Raises:
            Whatever the sink raises.
        """
        reading = self._readings.get(name)
        if reading is not None and self._sink is not None:
            self._sink(OBSERVE_PROPERTY, **_members(name, reading))

    def attach(self, loop: asyncio.AbstractEventLoop, sink: Sink) -> None:
        """Give all reports, in the order in which they were made, to `sink`. On the loop's thread."""
        self._loop, self._sink, self._thread = loop, sink, threading.get_ident()
        self.flush()

    def shift(self, by: timedelta) -> None:
        """Move all that was dated so far, since the clock was wrong."""
        if not by:
            return
        with self._lock:
            self._stamp += by
            for _, members in self._waiting:
                members["timestamp"] += by
            for name, reading in self._readings.items():
                self._readings[name] = Reading(reading.value, reading.data, reading.timestamp + by)

    async def saved(self) -> None:
        """Wait until what was reported is kept, where anything keeps it. On the loop's thread."""
        self.flush()
        if self.keep is not None:
            await self.keep()

    def listen(self, listener: Sink) -> Callable[[], None]:
        """Give every later report to `listener` as well, on the loop's thread; returns what ends that."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def detach(self) -> None:
        """Keep reports until somebody attaches again."""
        self._loop = self._sink = None

    def flush(self) -> None:
        """Hand on what waits. On the loop's thread."""
        while (sink := self._sink) is not None:
            with self._lock:
                if not self._waiting:
                    return
                operation, members = self._waiting.popleft()
            sink(operation, **members)
            for listener in tuple(self._listeners):
                listener(operation, **members)

    def _time(self) -> datetime:
        """Return the time of a new report; no two have the same, since the hub knows a report by its time."""
        time = self.clock.now()
        if time == self._stamp:
            time += _TICK
        self._stamp = time
        return time

    def _make_room(self) -> bool:
        """Let the oldest reading go where too much waits; return whether there is room."""
        if len(self._waiting) < WAITING:
            return True
        for place, (operation, _) in enumerate(self._waiting):
            if operation == OBSERVE_PROPERTY:
                del self._waiting[place]
                return True
        return False

    def _checked(self, kind: Kind, value: Any, attribute: str, field: str) -> tuple[Any, Any]:
        try:
            return kind.dump(value, field)
        except InvalidValue as error:
            raise InvalidValue(f"{self._owner}.{attribute}: {error}", field=error.field) from None

    def _wake(self) -> None:
        loop = self._loop
        if loop is None:
            return
        if threading.get_ident() == self._thread:
            self.flush()
            return
        try:
            loop.call_soon_threadsafe(self.flush)
        except RuntimeError:  # the loop has just ended: the report waits for the next
            return


def _members(name: str, reading: Reading) -> dict[str, Any]:
    return {"name": name, "value": reading.data, "timestamp": reading.timestamp}


def install(thing: Thing, state: State) -> None:
    """Give a thing its state."""
    vars(thing)[_STATE] = state


def state_of(thing: Thing) -> State:
    """Return a thing's state.

    Raises:
        RuntimeError: its `__init__` has not called `Thing.__init__`.
    """
    state: State | None = vars(thing).get(_STATE)
    if state is None:
        name = type(thing).__name__
        raise RuntimeError(f"{name}.__init__ must call super().__init__(…) before it uses its properties")
    return state
