"""The media lines of one connection, and what its next offer has to say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.rtc.sdp import codecs as sdp_codecs
from plait.rtc.track import Direction, Kind, Transceiver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plait.rtc.track import LineOwner

Asked = tuple[list[tuple[Kind, Direction]], list[tuple[str, Direction | None]]]
"""New lines as (kind, direction); changes as (mid, direction), None where it is stopped."""


class Lines:
    """Keeps transceivers in step with what is negotiated.

    Args:
        owner: the peer connection.
    """

    def __init__(self, owner: LineOwner) -> None:
        self._owner = owner
        self._all: list[Transceiver] = []
        self._added: list[Transceiver] = []  # with the offer that is out
        self._changed: list[Transceiver] = []

    def __iter__(self) -> Iterator[Transceiver]:
        return iter(tuple(self._all))

    def add(self, kind: Kind, direction: Direction, codecs: tuple[str, ...]) -> Transceiver:
        """Add a line to the next offer."""
        transceiver = Transceiver(kind, direction, self._owner, codecs)
        self._all.append(transceiver)
        return transceiver

    def find(self, mid: str) -> Transceiver | None:
        """Return the transceiver of a line."""
        return next((each for each in self._all if each.mid == mid), None)

    @property
    def wish(self) -> bool:
        """Whether something is to be offered."""
        return any(each.wishes or (not each.mid and not each.stopped) for each in self._all)

    def new(self) -> Asked:
        """Return the lines that the offer which is out does not have; nothing where it has them all."""
        added = [each for each in self._all if not each.mid and not each.stopped and each not in self._added]
        return [(each.kind, each.direction) for each in added], []

    def ask(self) -> Asked:
        """Return what the offer that is about to be made has to say."""
        self._added = [each for each in self._all if not each.mid and not each.stopped]
        self._changed = [each for each in self._all if each.mid and each.wishes]
        for each in self._changed:
            each.wishes = False
        added = [(each.kind, each.direction) for each in self._added]
        return added, [(each.mid, None if each.stopped else each.direction) for each in self._changed]

    def offered(self, mids: Sequence[str]) -> None:
        """Take the names that the offer gave to the new lines."""
        for each, mid in zip(self._added, mids, strict=False):
            each.mid = mid

    def settle(self) -> None:
        """Take note that the offer was answered."""
        self._added, self._changed = [], []

    def roll_back(self) -> None:
        """Wish for all that the withdrawn offer has said once more."""
        for each in self._added:
            each.mid = ""
        for each in self._changed:
            each.wishes = True
        self.settle()

    def negotiated(
        self, mid: str, kind: Kind, direction: Direction, codecs: tuple[str, ...], *, stopped: bool
    ) -> tuple[Transceiver, bool]:
        """Take the negotiated state of a line; return its transceiver, and whether it is new."""
        transceiver = self.find(mid)
        new = transceiver is None
        if transceiver is None:
            transceiver = self.add(kind, direction, ())
            transceiver.mid = mid
        transceiver._negotiated(direction, codecs, stopped=stopped)  # noqa: SLF001 - one unit
        return transceiver, new

    def described(self, sdp: str) -> None:
        """Take note of the codecs that the far end's description has."""
        for mid, codecs in sdp_codecs(sdp).items():
            if (transceiver := self.find(mid)) is not None:
                transceiver.theirs = codecs

    def wanted_codecs(self) -> list[str]:
        """Return the codecs that the lines ask for; none where no line does."""
        wanted = [name for each in self._all for name in each.wanted]
        if wanted:
            # A line that does not say takes the usual ones of its kind.
            for each in self._all:
                if not each.wanted:
                    wanted += ["opus"] if each.kind == "audio" else ["H264", "VP8"]
        return list(dict.fromkeys(wanted))

    def end(self) -> None:
        """End them all: the connection is over."""
        for each in self._all:
            each._end()  # noqa: SLF001 - one unit
