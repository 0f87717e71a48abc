"""What properties were: readings as they came, or summed up in equal stretches of time for a chart."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from plait.hub.contracts import Operation, Quiet, microseconds, moment
from plait.wire.errors import InvalidMessage, UnknownAffordance
from plait.wire.messages import READ_HISTORY, READ_STATISTICS, now, response

if TYPE_CHECKING:
    from plait.hub.contracts import Access, Caller, Later, Store, ThingRecord, Things
    from plait.wire.messages import Message

_MOST_POINTS: Final = 20_000
_MOST_BYTES: Final = 900 << 10
"""Bounds of one answer from history: points, and their encoded bytes (a message is at most 1 MiB)."""

_MOST_BUCKETS: Final = 5_000


class Window(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """The `input` of `readhistory`: times with offset, and how many of the newest points."""

    start: datetime
    end: datetime | None = None
    limit: int = 1000


class Stretch(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """The `input` of `readstatistics`: times with offset, and into how many buckets they are cut."""

    start: datetime
    end: datetime | None = None
    buckets: int = 300


_Asked = TypeVar("_Asked", Window, Stretch)


class History(Quiet):
    """The room of what was. See `hub/contracts` for its arguments."""

    def __init__(self, things: Things, *, store: Store, access: Access) -> None:
        self._things = things
        self._store = store
        self._access = access
        self.operations = (
            Operation("request", READ_HISTORY, self._history),
            Operation("request", READ_STATISTICS, self._statistics),
        )

    def _history(self, caller: Caller, message: Message) -> Later:
        record, name = self._property(caller, message)
        window = _asked(message, Window)
        _within("limit", window.limit, _MOST_POINTS)
        return self._points(message, record.id, name, window)

    async def _points(self, message: Message, thing: str, name: str, window: Window) -> Message:
        end = now() + timedelta(days=1) if window.end is None else window.end
        rows = await self._store.history(
            thing, name, microseconds(window.start), microseconds(end), window.limit
        )
        points: list[tuple[datetime, Any]] = []
        room = _MOST_BYTES
        for time, value in reversed(rows):
            room -= len(value) + 32
            if room < 0:
                break
            points.append((moment(time), msgspec.json.decode(value)))
        return response(message, value=points[::-1])

    def _statistics(self, caller: Caller, message: Message) -> Later:
        record, name = self._property(caller, message)
        if record.description["properties"][name].get("type") not in ("number", "integer"):
            raise InvalidMessage(f"{name} is not a number", field="/name")
        stretch = _asked(message, Stretch)
        _within("buckets", stretch.buckets, _MOST_BUCKETS)
        start, end = microseconds(stretch.start), microseconds(stretch.end or now())
        if end <= start:
            raise InvalidMessage("it ends before it begins", field="/input/to")
        return self._buckets(message, (record.id, name), start, end, stretch.buckets)

    async def _buckets(
        self, message: Message, series: tuple[str, str], start: int, end: int, buckets: int
    ) -> Message:
        width = -(-(end - start) // buckets)
        rows = await self._store.statistics(*series, start, end, width)
        return response(message, value=[(moment(time), *figures) for time, *figures in rows])

    def _property(self, caller: Caller, message: Message) -> tuple[ThingRecord, str]:
        thing = "" if message.thing_id is UNSET else message.thing_id
        self._access.check(caller.principal, thing, "read")
        record = self._things.get(thing)
        name = "" if message.name is UNSET else message.name
        if name not in record.properties:
            raise UnknownAffordance(f"no property {name!r:.200}", field="/name")
        return record, name


def _asked(message: Message, kind: type[_Asked]) -> _Asked:
    try:
        asked = msgspec.convert({} if message.input is UNSET else message.input, kind)
    except msgspec.ValidationError as error:
        raise InvalidMessage(str(error), field="/input") from error
    for field, time in (("from", asked.start), ("to", asked.end)):
        if time is not None and time.tzinfo is None:
            raise InvalidMessage("a time has a UTC offset", field=f"/input/{field}")
    return asked


def _within(field: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise InvalidMessage(f"from 1 to {most}", field=f"/input/{field}")
