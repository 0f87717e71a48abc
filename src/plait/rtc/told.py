"""What the engine tells of one connection, on its way to the application's callbacks."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from plait.rtc.ice import IceCandidate, IceCandidateError
from plait.rtc.lines import Lines
from plait.rtc.track import EncodedFrame

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.rtc.channels import Channels
    from plait.rtc.replies import Replies
    from plait.rtc.track import Direction, Kind, LineOwner, Transceiver

_logger = logging.getLogger("plait.rtc")

State = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]
Stats = dict[str, dict[str, Any]]
"""W3C's report: objects by id."""


class Told(ABC):
    """The part of a peer connection that listens to the engine.

    Attributes:
        connection_state: as in W3C; "failed" and "closed" are final.
        close_reason: why it is over, in words; empty before.
        on_…: callbacks of the application, which `PeerConnection` describes.
    """

    def __init__(self, owner: LineOwner) -> None:
        self.connection_state: State = "new"
        self.close_reason = ""
        self.on_ice_candidate: Callable[[IceCandidate | None], None] | None = None
        self.on_ice_candidate_error: Callable[[IceCandidateError], None] | None = None
        self.on_bandwidth_estimate: Callable[[int], None] | None = None
        self.on_track: Callable[[Transceiver], None] | None = None
        self.on_connection_state_change: Callable[[str], None] | None = None
        self._lines = Lines(owner)
        self._last_stats: Stats | None = None
        self._changed = asyncio.Event()
        self._handlers: tuple[Callable[..., None], ...] = ()

    def _listen(self, replies: Replies, channels: Channels) -> None:
        # In the order of the engine's numbers for them (native/src/face/convert.rs).
        self._handlers = (
            replies.take,
            self._on_state,
            self._on_candidate,
            self._on_media,
            channels.on_open,
            channels.on_data,
            channels.on_low,
            channels.on_closed,
            self._on_frame,
            self._on_keyframe_request,
            self._on_server_failed,
            self._on_addresses_changed,
            self._on_bandwidth,
            self._on_last_stats,
        )

    @abstractmethod
    def restart_ice(self) -> None:
        """Have the next offer restart ICE, and say that one is due."""

    @abstractmethod
    def _end(self) -> None:
        """Let go of everything: the connection is over."""

    # What follows is called by the mailbox.

    def handle(self, kind: int, arguments: tuple[Any, ...]) -> None:
        """Take one event of the engine."""
        self._handlers[kind](*arguments)

    def _on_state(self, state: State, reason: str) -> None:
        self.connection_state = state
        self._changed.set()
        self._changed.clear()
        if state in ("failed", "closed"):
            self.close_reason = reason
            self._end()
        if self.on_connection_state_change is not None:
            self.on_connection_state_change(state)

    def _on_candidate(self, line: str | None) -> None:
        if self.on_ice_candidate is not None:
            mid = next((each.mid for each in self._lines if each.mid), None)
            self.on_ice_candidate(None if line is None else IceCandidate(line, mid, 0))

    def _on_server_failed(self, url: str, address: str, port: int, code: int, text: str) -> None:
        _logger.warning("%s (%s port %d) is of no use: %d %s", url, address, port, code, text)
        if self.on_ice_candidate_error is not None:
            self.on_ice_candidate_error(IceCandidateError(url, address, port, code, text))

    def _on_media(  # noqa: PLR0917 - an event of the engine has its members in a tuple
        self,
        mid: str,
        kind: Kind,
        direction: Direction,
        codecs: tuple[str, ...],
        remote: bool,
        stopped: bool,
    ) -> None:
        transceiver, new = self._lines.negotiated(mid, kind, direction, codecs, stopped=stopped)
        if new and remote and self.on_track is not None:
            self.on_track(transceiver)

    def _on_frame(  # noqa: PLR0917 - as above
        self, mid: str, data: bytes, timestamp: int, keyframe: bool, codec: str, contiguous: bool
    ) -> None:
        frame = EncodedFrame(data, timestamp, keyframe, codec)
        if (transceiver := self._lines.find(mid)) is not None:
            transceiver._received(frame, contiguous=contiguous)  # noqa: SLF001 - one unit

    def _on_keyframe_request(self, mid: str) -> None:
        transceiver = self._lines.find(mid)
        if transceiver is not None and transceiver.on_keyframe_request is not None:
            transceiver.on_keyframe_request()

    def _on_bandwidth(self, estimate: int) -> None:
        if self.on_bandwidth_estimate is not None:
            self.on_bandwidth_estimate(estimate)

    def _on_last_stats(self, report: Stats) -> None:
        self._last_stats = report

    def _on_addresses_changed(self) -> None:
        _logger.info("this machine's addresses have changed: an ICE restart is due")
        self.restart_ice()
