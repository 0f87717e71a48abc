"""Both directions of one channel, and what is kept of those that are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from plait.wire.link.latest import Datagrams, Newer, Newest, Once
from plait.wire.link.reliable import Incoming, Outgoing

if TYPE_CHECKING:
    from plait.wire.link.frames import Declaration

_MOST_OVER: Final = 1024

_T = TypeVar("_T")


class Channel:
    """Both directions of one channel.

    Args:
        number: ours.
        declaration: what it is.
        limit: bytes that may wait to be acknowledged.

    Attributes:
        theirs: the far end's number, once it has sent.
        turn: when it was served last.
    """

    __slots__ = ("declaration", "into", "out", "theirs", "turn")

    def __init__(self, number: int, declaration: Declaration, limit: int) -> None:
        self.declaration = declaration
        self.theirs: int | None = None
        self.turn = 0
        self.out: Outgoing | Newest | Datagrams
        self.into: Incoming | Newer | Once
        match declaration.delivery:
            case "reliable":
                self.out, self.into = Outgoing(number, declaration, limit), Incoming(0)
            case "latest":
                self.out, self.into = Newest(number, declaration), Newer()
            case "datagram":
                self.out, self.into = Datagrams(number, declaration), Once()

    @property
    def ended(self) -> bool:
        """Whether the far end has ended its direction."""
        return isinstance(self.into, Incoming) and self.into.ended

    @property
    def over(self) -> bool:
        """Whether both directions have ended, and everything has come."""
        return self.ended and isinstance(self.out, Outgoing) and self.out.finished and self.out.empty


class Recent(dict[int, _T]):
    """What is kept of channels that are over, by number; the oldest go first."""

    def __setitem__(self, number: int, kept: _T) -> None:
        super().__setitem__(number, kept)
        if len(self) > _MOST_OVER:
            del self[next(iter(self))]
