"""What becomes of our offers: due, out, withdrawn or answered (W3C WebRTC, section 4.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plait.rtc.errors import NegotiationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.rtc.lines import Asked, Lines


@dataclass(frozen=True)
class Begun:
    """An offer that the engine is asked for.

    Attributes:
        asked: what it has to say of the media lines.
        restart: whether it restarts ICE.
        channels: whether it has data channels.
        again: another was out already, and this one is the same.
        withdrawn: how many had been withdrawn when it was begun.
    """

    asked: Asked
    restart: bool
    channels: bool
    again: bool
    withdrawn: int


class Offers:
    """The offers of one connection.

    Args:
        lines: its media lines.

    Attributes:
        out: one waits for its answer.
        restart_is_due: the next has to restart ICE.
        channels_offered: data channels are negotiated, or asked for by the one that is out.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._withdrawn = 0
        self._restart_is_out = False
        self.out = False
        self.restart_is_due = False
        self.channels_offered = False

    def due(self, *, channels: bool) -> bool:
        """Whether there is something to offer; `channels`: there are data channels."""
        return self.restart_is_due or (channels and not self.channels_offered) or self._lines.wish

    def begin(self, *, restart: bool, channels: bool) -> Begun:
        """Begin an offer, which is out from now on."""
        again = self.out
        if again:
            asked = self._lines.new()
        else:
            restart, asked = restart or self.restart_is_due, self._lines.ask()
            self.restart_is_due = False
        self.out = True
        self._restart_is_out |= restart
        return Begun(asked, restart, channels, again, self._withdrawn)

    def fail(self, begun: Begun) -> None:
        """The engine has refused to make it: what it was to say is wished for as before."""
        if not begun.again and begun.withdrawn == self._withdrawn:
            self.undo()

    def made(self, begun: Begun, mids: Sequence[str]) -> None:
        """It is made; its new lines have these names.

        Raises:
            NegotiationError: it was withdrawn meanwhile.
        """
        if begun.withdrawn != self._withdrawn:
            raise NegotiationError("the far end's offer came first")
        if not begun.again:
            self._lines.offered(mids)
        self.channels_offered |= begun.channels

    def undo(self) -> None:
        """Withdraw the one that is out: what it said is due again."""
        self._withdrawn += 1
        self.out = False
        self.restart_is_due |= self._restart_is_out
        self._restart_is_out = False
        self._lines.roll_back()

    @property
    def mark(self) -> int:
        """What `answered` needs to know whether its offer was withdrawn since."""
        return self._withdrawn

    def answered(self, mark: int) -> bool:
        """The one that was out at `mark` is answered. False if it was withdrawn since."""
        if mark != self._withdrawn:
            return False
        self.out = self._restart_is_out = False
        self._lines.settle()
        return True
