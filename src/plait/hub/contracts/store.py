"""What outlives the process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.hub.contracts.clients import Mark
    from plait.hub.reply import Reply

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
PATIENCE = timedelta(seconds=10)
"""How long an app's command without deadline may take."""


def microseconds(time: datetime) -> int:
    """Return a time as the store counts: microseconds since 1970, UTC, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def moment(time: int) -> datetime:
    """Return a time of the store as others count."""
    return _EPOCH + time * _MICROSECOND


class NotKept(Exception):
    """A write could not be committed. What asked for it is not acknowledged."""


Done = Callable[["BaseException | None"], None]
"""Called on the event loop when the write is committed, or with why it was not."""


@dataclass(slots=True)
class Reading:
    """A property's value at a time.

    Attributes:
        thing, name: whose.
        time: microseconds since 1970, UTC.
        value: JSON.
        known: it was here before: set by the store, to be read once it is committed.
    """

    thing: str
    name: str
    time: int
    value: bytes
    known: bool = False


@dataclass(slots=True)
class Happening:
    """An event that a thing told of; `data` is JSON, `time` and `known` as in `Reading`."""

    thing: str
    name: str
    time: int
    data: bytes
    known: bool = False


@dataclass(slots=True)
class Entry:
    """An action in the journal.

    Attributes:
        sender, message: who asked, and under which message id: the idempotency key.
        thing, name, input: what was asked; `input` is JSON, or nothing.
        deadline: microseconds since 1970, UTC.
        state: `pending` (may be at the device), `done` or `failed`.
        output: JSON of the output, or of the problem where it failed.
    """

    sender: str
    message: str
    thing: str
    name: str
    input: bytes | None
    deadline: int
    state: Literal["pending", "done", "failed"] = "pending"
    output: bytes | None = None


class Store(Protocol):
    """What outlives the process. Every write is committed with fsync before its `Done` is called."""

    def add_reading(self, reading: Reading, mark: Mark | None, done: Done) -> None:
        """Keep a reading, and take it as the property's last value.

        Of two of one property and time the later counts; where its value is the same, its `known` is set.
        """

    def add_event(self, event: Happening, mark: Mark | None, done: Done) -> None:
        """Keep an event. The same event twice is one; the second's `known` is set."""

    def marked(self, session: str, principal: str) -> Reply[int]:
        """Return how far a session was committed, once all that waits now is; 0 where it is not known."""

    def describe(self, thing: str, description: bytes, mark: Mark | None) -> Reply[None]:
        """Keep a thing's description. It fails with `NotKept`, as all of these do."""

    def open_action(self, entry: Entry, mark: Mark | None) -> Reply[bool]:
        """Journal an action before it is dispatched; False where its sender and message are there already."""

    def pending_actions(self) -> Sequence[Entry]:
        """Return the actions that an earlier hub journaled and did not see ended. Asked once, at start."""

    def close_action(self, entry: Entry) -> Reply[None]:
        """Journal how an action ended."""

    def action(self, sender: str, message: str) -> Reply[Entry | None]:
        """Return a journaled action."""

    def history(
        self, thing: str, name: str, start: int, end: int, limit: int
    ) -> Reply[list[tuple[int, bytes]]]:
        """Return the newest `limit` readings of `start <= time < end`, oldest first, as (time, JSON)."""

    def statistics(
        self, thing: str, name: str, start: int, end: int, width: int
    ) -> Reply[list[tuple[int, float, float, float, int]]]:
        """Return `start <= time < end` of a number in buckets of `width` microseconds, oldest first.

        Each is (its first microsecond, mean, minimum, maximum, how many readings); empty ones are left out.
        """
