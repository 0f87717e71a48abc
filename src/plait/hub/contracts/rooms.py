"""What a room of the hub is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from plait.wire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.hub.contracts.clients import Client
    from plait.hub.reply import Reply
    from plait.wire.messages import MessageType

Answer = Message | None
Later = Coroutine["Reply[Any]", None, Answer]
"""A coroutine that `reply.start` runs: it awaits `Reply`s, and nothing else."""

Handler = Callable[[Any, Message], Answer | Later]
"""Takes a `Caller` (a `Client` where the operation needs a session) and a message.

Returns the response, or something that gives it later. Raises `PlaitError` for a problem.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of a room's table.

    Attributes:
        type: what kind of message it is.
        name: the operation.
        handle: what answers it.
        durable: the handler itself says `settled`, once its message is committed; otherwise the message is
            settled when the handler returns.
        session: it needs a live session: an HTTP request cannot ask for it.
        things: it is for devices only.
    """

    type: MessageType
    name: str
    handle: Handler
    durable: bool = False
    session: bool = False
    things: bool = False


class Room(Protocol):
    """A part of what the hub does. `hub/main` holds the table of rooms."""

    @property
    def operations(self) -> Sequence[Operation]:
        """What it answers."""

    def arrived(self, client: Client) -> None:
        """A session got a connection."""

    def left(self, client: Client) -> None:
        """A session lost its connection; it may come back."""

    def ended(self, client: Client) -> None:
        """A session is over."""


class Quiet:
    """The room that does not mind who comes and goes: a base for rooms."""

    def arrived(self, client: Client) -> None:
        """Nothing to do."""

    def left(self, client: Client) -> None:
        """Nothing to do."""

    def ended(self, client: Client) -> None:
        """Nothing to do."""
