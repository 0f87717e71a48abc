"""Whoever sends a single HTTP request: the rooms' `Caller` without a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plait.hub.contracts import Mark, Principal
    from plait.wire.messages import Message


@dataclass(frozen=True, slots=True)
class Visitor:
    """Implements `contracts.Caller`: there is nothing to number, to acknowledge or to resume."""

    principal: Principal

    @property
    def crowded(self) -> bool:
        """Never: each request is one."""
        return False

    def mark(self, message: Message) -> Mark | None:
        """Return nothing: no session reaches anywhere."""
        del message
        return None

    def settled(self, message: Message) -> None:
        """Nobody waits for an acknowledgement; the response is one."""

    def unkept(self, message: Message, error: BaseException) -> None:
        """The response says so."""
