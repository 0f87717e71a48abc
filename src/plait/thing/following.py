"""A camera follows its viewers' paths: each second it asks what arrived, and sends what fits."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from plait.media import Capacity, Report, judge
from plait.rtc import PeerClosed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.media import Fanout, Viewer
    from plait.rtc import PeerConnection, Transceiver

EVERY: Final = 1.0
"""Seconds between looks; receivers report about as often (RFC 3550, section 6.2)."""

log = logging.getLogger("plait.camera")


class Following:
    """What one viewer's path carries, and what the viewer is given by it.

    Attributes:
        known: what the path carries, and why that is known.
    """

    def __init__(self, fanout: Fanout, viewer: Viewer) -> None:
        self.known = Capacity()
        self._fanout = fanout
        self._viewer = viewer
        self._sent: tuple[float, float] | None = None  # seconds, bits

    async def run(self, peer: PeerConnection, video: Transceiver) -> None:
        """Follow until the connection is over."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                stats = await peer.stats()
            except PeerClosed:
                return
            report = self._report(stats, video.mid, time.monotonic())
            if report is not None:
                self._take(judge(self.known, report, self._fanout.group.rate))

    def _report(self, stats: Mapping[str, Mapping[str, Any]], mid: str, now: float) -> Report | None:
        out, remote = stats.get(f"O{mid}"), stats.get(f"RI{mid}")
        if out is None or remote is None or "roundTripTime" not in remote:
            return None
        bits = 8.0 * (out["bytesSent"] - out["retransmittedBytesSent"])
        before, self._sent = self._sent, (now, bits)
        if before is None:
            return None
        rate = (bits - before[1]) / (now - before[0])
        return Report(now, rate, remote.get("fractionLost", 0.0), remote["roundTripTime"])

    def _take(self, known: Capacity) -> None:
        before, self.known = self.known, known
        if known.bits == before.bits:
            return
        if known.bits is None:
            log.info("a viewer is shown everything again")
        else:
            log.info("a viewer's path carries %.0f kbit/s: %s", known.bits / 1000, known.why)
        self._fanout.limit(self._viewer, known.bits)
