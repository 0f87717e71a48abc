"""Publish and subscribe between the rooms and whoever watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.wire.codec import Encoded


@dataclass(slots=True)
class Notice:
    """One notification on its way to many.

    Attributes:
        encoded: encoded once; each session numbers its own.
        key: where it is given, a newer notice of the same key may replace this one while the receiver is
            slow.
    """

    encoded: Encoded
    key: tuple[str, str] | None = None


class Bus(Protocol):
    """Publish and subscribe between the rooms and whoever watches."""

    def publish(self, topic: str, notice: Notice) -> None:
        """Hand a notice to every subscriber of the topic; one that raises disturbs no other."""

    def subscribe(self, topic: str, receive: Callable[[Notice], None]) -> Callable[[], None]:
        """Hand every later notice of the topic to `receive`; returns what ends that."""


def values_topic(thing: str) -> str:
    """Return the topic of a thing's property values."""
    return f"values/{thing}"


def events_topic(thing: str) -> str:
    """Return the topic of a thing's events."""
    return f"events/{thing}"


THINGS_TOPIC = "things"
"""Descriptions, and presence, of all things."""
