"""Forwarding: one incoming track to many peers. The engine moves the packets, Python says who gets what.

forwarding = await incoming.forward_to(viewer)
forwarding.limit(max_bitrate=500_000)
print(await forwarding.stats())
forwarding.stop()
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plait.rtc import engine
from plait.rtc.errors import NegotiationError, NoCommonCodec, PeerClosed
from plait.rtc.replies import Replies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plait.rtc.track import Transceiver

_logger = logging.getLogger("plait.rtc")

# Kinds of events, as in native/src/face/convert.rs.
_REPLY = 0

_Bounds = tuple[int | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class SourceLost:
    """A source that went away: its viewers are quiet until `Forwarder.replace` gives them another.

    Attributes:
        source: the line that is lost.
        reason: why its connection is over.
    """

    source: Transceiver
    reason: str


class Forwarding:
    """One viewer of a `Forwarder`; made by `Forwarder.add` or `Transceiver.forward_to`.

    Attributes:
        forwarder: what it belongs to.
        viewer: the line that it sends on.
        end_reason: why it is over; empty before.
        mismatch: set while the source sends a codec that the viewer has not negotiated.
    """

    def __init__(self, forwarder: Forwarder, viewer: Transceiver) -> None:
        self.forwarder = forwarder
        self.viewer = viewer
        self.end_reason = ""
        self.mismatch: NoCommonCodec | None = None
        self._ended = asyncio.Event()

    def limit(
        self,
        *,
        max_bitrate: int | None = None,
        max_temporal_layer: int | None = None,
        max_layer: int | None = None,
    ) -> None:
        """Set other limits; None lifts one. See `Forwarder.add`."""
        if not self.end_reason:
            bounds = _bounds(max_bitrate, max_temporal_layer, max_layer)
            self.forwarder._native.limit(self.viewer.line, bounds)  # noqa: SLF001 - the two are one unit

    def stop(self) -> None:
        """Send this viewer no more. Its line stays negotiated, and may be forwarded to again. Idempotent."""
        if not self.end_reason:
            self.forwarder._remove(self)  # noqa: SLF001 - the two are one unit
            self._end("stopped here")

    async def stats(self) -> dict[str, Any]:
        """Return this viewer's statistics: W3C's outbound-rtp, and what was left out and why.

        `framesDropped` is the sum of `framesDroppedBandwidth` (its network is too slow),
        `framesDroppedLimits` (the limits set here) and `framesDroppedKeyframe` (before its first keyframe,
        or after a loss).

        Raises:
            PeerClosed: it is over.
        """
        number, mid = self.viewer.line
        report = await self.forwarder.stats()
        try:
            return report[f"O{number}/{mid}"]
        except KeyError:
            raise PeerClosed(self.end_reason or "the viewer is gone") from None

    async def ended(self) -> str:
        """Wait until it is over, and return the reason."""
        await self._ended.wait()
        return self.end_reason

    def _end(self, reason: str) -> None:
        self.end_reason = reason
        self._ended.set()


class Forwarder:
    """Hands what its sources send on to its viewers, in the engine's thread.

    Each viewer has its own payload type, SSRC, sequence numbers, timestamps and repairs; the source hears of
    a viewer only by keyframe requests, of all of them together one a second at most.

    Attributes:
        sources: where it forwards from.
        on_source_lost: called when a source's connection is over; `replace` gives the viewers another.
    """

    def __init__(self, *sources: Transceiver) -> None:
        """Begin to forward; `add` says to whom.

        Args:
            sources: receiving lines with the same picture in different sizes (a camera's main and
                sub-stream), the largest first; often one. Simulcast encodings of a line are told apart here.
                Their connections have `packets=True`.
        """
        self.sources: tuple[Transceiver, ...] = ()
        self.on_source_lost: Callable[[SourceLost], None] | None = None
        self.closed = False
        self._viewers: dict[tuple[int, str], Forwarding] = {}
        self._replies = Replies()
        if sources:
            self._mailbox, self._native = sources[0].make_forwarder()
        else:
            self._mailbox = engine.default().mailbox()
            self._native = self._mailbox.forwarder(None)
        self._mailbox.attach(self._native.id, self)
        self._started = self._set(sources)

    @property
    def viewers(self) -> Sequence[Forwarding]:
        """Who gets it."""
        return tuple(self._viewers.values())

    async def add(
        self,
        viewer: Transceiver,
        *,
        max_bitrate: int | None = None,
        max_temporal_layer: int | None = None,
        max_layer: int | None = None,
    ) -> Forwarding:
        """Send to one more line; the picture begins as soon as its connection stands.

        Args:
            viewer: a sending line of another connection, negotiated.
            max_bitrate: bits a second that it gets at most.
            max_temporal_layer: leave out the layers above; 0 is the base layer alone, and H.264 without the
                frames that no other refers to.
            max_layer: how many encodings above the smallest; 0 is the smallest alone.

        Raises:
            NoCommonCodec: the source and the viewer have no codec in common.
            NegotiationError: a line is not negotiated, does not send or receive, or is forwarded to already;
                a connection is over or belongs to another engine thread.
            PeerClosed: this forwarder is closed.
        """
        self._check()
        for source in self.sources:
            _compare(source, viewer)
        bounds = _bounds(max_bitrate, max_temporal_layer, max_layer)
        await self._answered(self._started)
        if viewer.line in self._viewers:
            raise NegotiationError("the viewer's line is forwarded to already")
        number, future = self._request()
        # Before the answer: the viewer may be gone right behind it.
        forwarding = self._viewers[viewer.line] = Forwarding(self, viewer)
        try:
            self._native.add(number, viewer.line, bounds)
            await self._answered(future)
        except BaseException:
            self._viewers.pop(viewer.line, None)
            raise
        return forwarding

    async def replace(self, *sources: Transceiver) -> None:
        """Take other sources. The viewers go on, without negotiation, at the next keyframe.

        Raises:
            NoCommonCodec: a viewer has no codec in common with one of them.
            NegotiationError: a source's line is not negotiated or does not receive, or its connection is not
                one with `packets=True`, is over, or belongs to another engine thread.
            PeerClosed: this forwarder is closed.
        """
        self._check()
        for source in sources:
            for forwarding in self._viewers.values():
                _compare(source, forwarding.viewer)
        self._started = self._set(sources)
        await self._answered(self._started)

    async def stats(self) -> dict[str, dict[str, Any]]:
        """Return statistics: an outbound-rtp for each viewer, an inbound-rtp for each incoming encoding.

        Raises:
            PeerClosed: it is closed.
        """
        self._check()
        number, future = self._request()
        self._native.stats(number)
        report: dict[str, dict[str, Any]] = await self._answered(future)
        return report

    def close(self) -> None:
        """Stop it all; the viewers' connections stay. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._native.close()
        self._mailbox.detach(self._native.id)
        for forwarding in list(self._viewers.values()):
            forwarding._end("the forwarder was closed")  # noqa: SLF001 - the two are one unit
        self._viewers.clear()
        self._replies.fail(PeerClosed("the forwarder is closed"))

    # What follows is called by the mailbox.

    def handle(self, kind: int, arguments: tuple[Any, ...]) -> None:
        """Take one event of the engine."""
        if kind == _REPLY:
            self._replies.take(*arguments)
        else:
            self._on_news(*arguments)

    def _on_news(self, what: str, peer: int, mid: str, reason: str) -> None:
        line = (peer, mid)
        if what == "source":
            lost = [source for source in self.sources if source.line == line]
            self.sources = tuple(source for source in self.sources if source.line != line)
            for source in lost:
                _logger.info("a forwarded source is lost: %s", reason)
                if self.on_source_lost is not None:
                    self.on_source_lost(SourceLost(source, reason))
        elif what == "viewer":
            if (forwarding := self._viewers.pop(line, None)) is not None:
                forwarding._end(reason)  # noqa: SLF001 - the two are one unit
        elif (forwarding := self._viewers.get(line)) is not None:
            forwarding.mismatch = NoCommonCodec((reason,), forwarding.viewer.codecs)
            _logger.warning("nothing is forwarded to a viewer: %s", forwarding.mismatch)
        if not self.sources and not self._viewers:
            self.close()

    def _remove(self, forwarding: Forwarding) -> None:
        self._native.remove(forwarding.viewer.line)
        self._viewers.pop(forwarding.viewer.line, None)

    def _set(self, sources: tuple[Transceiver, ...]) -> asyncio.Future[Any]:
        for source in sources:
            if not (source.mid and source.codecs and source.receives):
                raise NegotiationError("a source has to be a negotiated line that receives")
        number, future = self._request()
        self._native.sources(number, [source.line for source in sources])
        self.sources = sources
        return future

    def _request(self) -> tuple[int, asyncio.Future[Any]]:
        number, future = self._replies.expect()
        # A constructor's failure is told by the first `add`, if there is one.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return number, future

    @staticmethod
    async def _answered(future: asyncio.Future[Any]) -> Any:
        # Others may wait for the same answer: one that is cancelled must not cancel it.
        return await asyncio.shield(future)

    def _check(self) -> None:
        if self.closed:
            raise PeerClosed("the forwarder is closed")


def _compare(source: Transceiver, viewer: Transceiver) -> None:
    if source.kind != viewer.kind:
        raise NegotiationError(f"{source.kind} cannot be forwarded to a line of {viewer.kind}")
    if viewer.codecs and source.codecs and not set(source.codecs) & set(viewer.codecs):
        raise NoCommonCodec(source.codecs, viewer.codecs)


def _bounds(bitrate: int | None, temporal_layer: int | None, layer: int | None) -> _Bounds:
    for name, value in (("bitrate", bitrate), ("temporal_layer", temporal_layer), ("layer", layer)):
        if value is not None and value < 0:
            raise ValueError(f"max_{name} is negative: {value}")
    return bitrate, None if temporal_layer is None else min(temporal_layer, 7), layer
