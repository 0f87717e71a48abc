"""Which of a link's paths is better, and why: one function, without clock or memory of its own.

A path is judged by whether it is open, how long it has not answered, its round trip and its loss. Directly
is better where nothing speaks against it: the hub has no work then, and the way is shorter. What carries the
link stays until another is better by a margin, so that two paths of like quality do not take turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SILENT: Final = 1.0
"""Seconds without an answer after which a path is left for one that answers."""

PROBATION: Final = 2.0
"""Seconds for which a path that had failed must have worked before it carries the link again; doubled with
each failure, up to `LONGEST_PROBATION`."""

LONGEST_PROBATION: Final = 60.0

LOSSY: Final = 0.2
"""Share of probes lost from which on a path is taken for bad."""

MARGIN: Final = 1.5
"""How many times longer a direct round trip may be than the hub's; and back below once it is as long."""

SLACK: Final = 0.03
"""Seconds that a round trip may be longer than that, all the same: a few milliseconds are no reason."""


@dataclass(frozen=True, slots=True)
class Path:
    """What is known of one path.

    Attributes:
        name: "direct" or "hub".
        open: packets can be sent.
        rtt: seconds there and back, smoothed; None while nothing was answered.
        loss: share of the last probes that were not answered, 0 to 1.
        silent: seconds since the oldest probe that is not answered; 0 where all are.
        good_for: seconds since it has opened, or began to answer again.
        failures: how often it broke or fell silent while it carried the link.
        relayed: a TURN server is between.
    """

    name: str
    open: bool
    rtt: float | None = None
    loss: float = 0.0
    silent: float = 0.0
    good_for: float = 0.0
    failures: int = 0
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Which path is to carry the link.

    Attributes:
        name: the path's; empty where none is open.
        reason: for people.
    """

    name: str
    reason: str


def better(paths: Sequence[Path], current: str = "") -> Choice:
    """Return which path is to carry the link now.

    Args:
        paths: each name once.
        current: what carries it; empty at the beginning.
    """
    usable = {path.name: path for path in paths if path.open}
    if not usable:
        return Choice("", "no path is open")
    now = usable.get(current)
    if now is None:
        # The one that cannot be left for the other.
        first = next((path for path in usable.values() if path.name != "direct"), usable.get("direct"))
        assert first is not None  # noqa: S101 - there is one
        left = f"{current} is closed" if current else "it is there first"
        return Choice(better(paths, first.name).name, left)
    for other in usable.values():
        if other is not now and (reason := _reason(now, other)):
            return Choice(other.name, reason)
    return Choice(now.name, _fault(now) or _praise(now))


def _reason(now: Path, other: Path) -> str:
    """Return why to leave `now` for `other`; empty where there is no reason."""
    if _badness(other) != _badness(now):
        # What has never answered is no refuge, unless there is little to lose.
        known = other.rtt is not None or now.silent > 2 * SILENT
        return _fault(now) if known and _badness(other) < _badness(now) else ""
    if now.rtt is None or other.rtt is None or _badness(now):
        return ""
    if other.name != "direct":
        slow = now.rtt > MARGIN * other.rtt + SLACK
        return f"{now.name} takes {_ms(now.rtt)}, {other.name} {_ms(other.rtt)}" if slow else ""
    trial = min(LONGEST_PROBATION, PROBATION * 2 ** (other.failures - 1)) if other.failures else 0.0
    if other.good_for < trial or other.rtt > now.rtt + SLACK:
        return ""
    return f"direct is open, {_ms(other.rtt)}"


def _badness(path: Path) -> int:
    return 2 if path.silent > SILENT else 1 if path.loss > LOSSY else 0


def _fault(path: Path) -> str:
    if path.silent > SILENT:
        return f"{path.name} has not answered for {path.silent:.1f} s"
    if path.loss > LOSSY:
        return f"{path.name} loses {path.loss:.0%}"
    return ""


def _praise(path: Path) -> str:
    way = " through a relay" if path.relayed else ""
    return f"{path.name}{way}, {_ms(path.rtt)}" if path.rtt is not None else f"{path.name}{way} is open"


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds * 1000:.0f} ms"
