"""The other two classes: the newest value of each key, and messages that come at most once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from plait.wire.errors import InvalidValue, LinkViolation
from plait.wire.link.frames import Datagram, Value

if TYPE_CHECKING:
    from plait.wire.link.frames import Declaration

LARGEST: Final = 15 << 10
"""Bytes of a value or a datagram: one frame."""

KEYS: Final = 4096
"""Keys of one channel, in each direction."""

WAITING: Final = 64
"""Datagrams that wait for a path; the oldest go first."""

_SHORTEST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 2.0
_REMEMBERED: Final = 1024


@dataclass(slots=True)
class _Newest:
    value: Value
    due: float  # when it goes (again)
    wait: float


class Newest:
    """Values out: the newest of each key, sent until the far end has seen it or it is replaced.

    Args:
        channel: our number for it.
        declaration: told until the far end has answered.
    """

    def __init__(self, channel: int, declaration: Declaration) -> None:
        self._channel = channel
        self._declaration: Declaration | None = declaration
        self._values: dict[str, _Newest] = {}
        self._keys: set[str] = set()
        self._unseen: dict[int, str] = {}
        self._seq = 0

    def put(self, key: str, payload: bytes, *, text: bool, now: float) -> None:
        """Take a value; an older one of its key that is not seen yet is forgotten.

        Raises:
            InvalidValue: there are too many keys.
        """
        if key not in self._keys and len(self._keys) >= KEYS:
            raise InvalidValue(f"a channel has at most {KEYS} keys")
        self._keys.add(key)
        self._seq += 1
        value = Value(self._channel, self._seq, key, payload, text)
        if (before := self._values.pop(key, None)) is not None:
            del self._unseen[before.value.seq]
        self._unseen[self._seq] = key
        self._values[key] = _Newest(value, now, 0.0)

    @property
    def empty(self) -> bool:
        """Whether the far end has seen everything."""
        return not self._values

    def take(self, now: float, rtt: float) -> Value | None:
        """Return a value that is to go now."""
        for kept in self._values.values():
            if kept.due <= now:
                kept.wait = min(_LONGEST_WAIT, max(_SHORTEST_WAIT, 1.5 * rtt, 2 * kept.wait))
                kept.due = now + kept.wait
                value = kept.value
                if self._declaration is None:
                    return value
                parts = (value.channel, value.seq, value.key, value.payload, value.text)
                return Value(*parts, self._declaration)
        return None

    def deadline(self) -> float | None:
        """When the next is to go."""
        return min((kept.due for kept in self._values.values()), default=None)

    def again(self, now: float) -> None:
        """Send all that is not seen once more, on another path."""
        for kept in self._values.values():
            kept.due, kept.wait = now, 0.0

    def seen(self, seq: int) -> None:
        """Forget the value that has come.

        Raises:
            LinkViolation: it was never sent.
        """
        if seq > self._seq:
            raise LinkViolation(f"value {seq} is said to have come, and {self._seq} was the last")
        self._declaration = None
        if (key := self._unseen.pop(seq, None)) is not None:
            del self._values[key]


class Newer:
    """Values in: none that is older than the last of its key."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def receive(self, value: Value) -> bool:
        """Return whether it is news.

        Raises:
            LinkViolation: there are too many keys.
        """
        if value.seq <= self._last.get(value.key, 0):
            return False
        if value.key not in self._last and len(self._last) >= KEYS:
            raise LinkViolation(f"more than {KEYS} keys")
        self._last[value.key] = value.seq
        return True


class Datagrams:
    """Datagrams out: the newest few, each once."""

    def __init__(self, channel: int, declaration: Declaration) -> None:
        self._channel = channel
        self._declaration: Declaration | None = declaration
        self._waiting: list[Datagram] = []
        self._seq = 0
        self.dropped = 0

    def put(self, payload: bytes, *, text: bool) -> None:
        """Take a datagram; where too many wait, the oldest is dropped."""
        self._seq += 1
        self._waiting.append(Datagram(self._channel, self._seq, payload, text, self._declaration))
        if len(self._waiting) > WAITING:
            del self._waiting[0]
            self.dropped += 1

    @property
    def empty(self) -> bool:
        """Whether none waits."""
        return not self._waiting

    def take(self) -> Datagram | None:
        """Return the next to go."""
        return self._waiting.pop(0) if self._waiting else None

    def known(self) -> None:
        """Note that the far end knows the channel."""
        self._declaration = None


class Once:
    """Datagrams in: none twice. What is older than the last 1,024 is taken for a repetition."""

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 0  # bit n: number `_highest - n` has come

    def receive(self, seq: int) -> bool:
        """Return whether it has not come before."""
        ahead = seq - self._highest
        if ahead > 0:
            self._seen = ((self._seen << min(ahead, _REMEMBERED)) | 1) & ((1 << _REMEMBERED) - 1)
            self._highest = seq
            return True
        if -ahead >= _REMEMBERED or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True
