"""What follows from a packet that came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plait.wire.link.frames import Ping, Pong

if TYPE_CHECKING:
    from plait.wire.errors import InvalidMessage, LinkViolation
    from plait.wire.link.frames import Delivery


@dataclass(frozen=True, slots=True)
class Opened:
    """The far end uses a channel that nobody here has asked for."""

    name: str
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Received:
    """A message, or a value with its key.

    Attributes:
        channel: its name.
        payload: bytes; UTF-8 where `text`.
        text: the far end sent a string.
        key: of a value; empty else.
    """

    channel: str
    payload: bytes
    text: bool
    key: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes on a channel.

    Attributes:
        channel: its name.
        error: why, where that is not the far end's wish.
    """

    channel: str
    error: LinkViolation | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What came was not a packet; nothing of a channel is touched by it."""

    error: InvalidMessage


Event = Opened | Received | Ended | Fault | Ping | Pong
