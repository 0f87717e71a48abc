"""The direct strand: two data channels of a peer connection, negotiated over the link itself.

Only imported once a link is open: without one, no engine is needed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from plait.rtc import (
    IceCandidate,
    IceServer,
    PeerConnection,
    PerfectNegotiation,
    RtcError,
    SessionDescription,
)
from plait.rtc.sdp import fingerprints
from plait.transport import network
from plait.wire.errors import Forbidden, LinkLost, PlaitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from plait.link.channel import Channel
    from plait.link.link import Link
    from plait.link.pinning import Pinned, Ring
    from plait.rtc import DataChannel, IceCandidateError
    from plait.wire.link import Lane

SURE: Final = "plait.link"
FAST: Final = "plait.link.fast"
SIGNALS: Final = "~signals"
"""The link's own channel, on which the two ends negotiate."""

ROOM: Final = 128 << 10
"""Bytes that may wait in a data channel: what a steering command has to wait for."""

MOST_FAILURES: Final = 32

RETRY: Final = (1.0, 30.0)
"""Seconds until another connection is tried where one has failed: at first, and at the most."""

GIVEN_UP: Final = 4.0
"""Seconds of silence after which who can ring does so, long before ICE gives the connection up."""

_log = logging.getLogger("plait.link")


def prove(sdp: str, fingerprint: str) -> None:
    """Check that a far end will show the certificate that it must.

    Raises:
        Forbidden: its description names another.
    """
    if fingerprints(sdp) != {fingerprint}:
        raise Forbidden("the far end shows another certificate than its permission names")


class _Channels:
    """Carries packets on the two data channels."""

    lanes: tuple[Lane, ...] = ("fast", "sure")

    def __init__(self, sure: DataChannel, fast: DataChannel) -> None:
        self._by_lane: dict[Lane, DataChannel] = {"sure": sure, "fast": fast}

    def room(self, lane: Lane) -> bool:
        return self._by_lane[lane].buffered_amount < ROOM

    def send(self, lane: Lane, packet: bytes) -> None:
        try:
            self._by_lane[lane].send_nowait(packet)
        except (RtcError, BufferError) as error:
            raise OSError(str(error)) from error


class Direct:
    """Keeps a direct path for a link, for as long as the link lasts.

    Args:
        link: this end of it.
        offers: whether this end makes the connection, and makes another where one has failed.
        ice_servers: W3C `RTCIceServer` dictionaries.
        renew: asks the hub for fresh ones, for ICE restarts and later connections.
        pinned: the far end's certificate, and ours, where both are known; see there.

    Attributes:
        servers: the STUN and TURN servers.
        failures: those of them that gave this end nothing, as they told it.
    """

    def __init__(
        self,
        link: Link,
        *,
        offers: bool,
        ice_servers: Sequence[Mapping[str, Any]],
        renew: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]],
        pinned: Pinned | None = None,
    ) -> None:
        self._link = link
        self._pinned = pinned
        self._offers = offers
        self.servers = [IceServer.from_dict(server) for server in ice_servers]
        self.failures: deque[IceCandidateError] = deque(maxlen=MOST_FAILURES)
        self._renew = renew
        self._peer: PeerConnection | None = None
        self._negotiation: PerfectNegotiation | None = None
        self._generation = 0
        self._wait = RETRY[0]
        self._open: dict[str, DataChannel] = {}
        self._signals: Channel = link.channel(SIGNALS, priority=255)
        self._tasks: set[asyncio.Task[None]] = set()
        self._elsewhere = asyncio.Event()  # this machine has other addresses
        self._unwatch: Callable[[], None] | None = None
        self._start(self._listen())
        if offers:
            self._unwatch = network.on_change(self._moved)
            self._begin(1)
            if pinned is not None and pinned.ring is not None:
                self._start(self._watch())

    async def close(self) -> None:
        """Close the connection."""
        if self._unwatch is not None:
            self._unwatch()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._peer is not None:
            await self._peer.close()

    # Connections. Each has a generation, so that signals of the one before are not taken for this one's.

    def _begin(self, generation: int) -> None:
        certificate = None if self._pinned is None else self._pinned.certificate
        before = self._peer
        self._peer = PeerConnection(ice_servers=self.servers, certificate=certificate)
        if before is not None:
            self._start(before.close())
        peer, self._generation = self._peer, generation
        peer.renew_ice_servers = self._renewed
        if generation > 1:
            peer.renew_servers()  # those of the connection before may have run out
        self._open = {}
        self._negotiation = PerfectNegotiation(peer, self._tell, polite=not self._offers)
        peer.on_ice_candidate_error = self.failures.append
        peer.on_connection_state_change = lambda state: self._changed(peer, state)
        if self._offers:
            self._adopt(peer.create_data_channel(SURE))
            self._adopt(peer.create_data_channel(FAST, ordered=False, max_retransmits=0))
        else:
            peer.on_data_channel = self._adopt

    async def _renewed(self) -> Sequence[IceServer]:
        self.servers = [IceServer.from_dict(server) for server in await self._renew()]
        return self.servers

    def _adopt(self, channel: DataChannel) -> None:
        if channel.label not in (SURE, FAST):
            channel.close()
            return
        channel.on_message = self._take
        self._start(self._opened(channel, self._generation))

    def _take(self, message: bytes | str) -> None:
        self._link.receive("direct", message if isinstance(message, bytes) else b"\xff")

    async def _opened(self, channel: DataChannel, generation: int) -> None:
        try:
            await channel.opened()
        except RtcError:
            return
        if generation != self._generation:
            return
        self._open[channel.label] = channel
        channel.on_close = lambda: self._link.lost("direct") if generation == self._generation else None
        if len(self._open) == 2:
            self._wait = RETRY[0]
            relayed = await self._relayed()
            self._link.opened("direct", _Channels(self._open[SURE], self._open[FAST]), relayed=relayed)

    async def report(self) -> dict[str, dict[str, Any]]:
        """Return the connection's statistics, as `PeerConnection.stats`; nothing where it is over."""
        try:
            return await self._peer.stats() if self._peer is not None else {}
        except RtcError:
            return {}

    async def _relayed(self) -> bool:
        report = await self.report()
        pair = report.get("CP", {})
        ends = (report.get(str(pair.get(end)), {}) for end in ("localCandidateId", "remoteCandidateId"))
        return any(candidate.get("candidateType") == "relay" for candidate in ends)

    def _changed(self, peer: PeerConnection, state: str) -> None:
        if peer is not self._peer or state not in ("failed", "closed"):
            return
        self._link.lost("direct")
        if self._offers and not self._link.closed.is_set():
            _log.info(
                "link %s: no direct path: %s; again in %.0f s", self._link.id, peer.close_reason, self._wait
            )
            self._start(self._again(self._generation + 1, self._wait))
            self._wait = min(RETRY[1], self._wait * 2)

    async def _again(self, generation: int, wait: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._elsewhere.wait(), wait)
        self._begin(generation)

    def _moved(self) -> None:
        """Try at once where another network may have what the last one had not."""
        self._wait = RETRY[0]
        self._elsewhere.set()
        self._elsewhere.clear()

    async def _watch(self) -> None:
        """Ring where the path is silent and the hub is away: both ends may have other addresses now."""
        while not self._link.closed.is_set():
            await asyncio.sleep(1.0)
            if self._link.path.name == "direct" and self._link.silent() >= GIVEN_UP:
                _log.info("link %s: no answer for %.0f s", self._link.id, self._link.silent())
                self._link.lost("direct")
                self._begin(self._generation + 1)

    # Signals

    def _tell(self, signal: SessionDescription | IceCandidate | None) -> None:
        ring = None if self._pinned is None else self._pinned.ring
        if ring is not None and self._offers and not self._link.path.name:
            if isinstance(signal, SessionDescription):  # its candidates are in it
                self._start(self._ring(ring, signal, self._generation))
            return
        told: dict[str, Any] = {"generation": self._generation}
        if isinstance(signal, SessionDescription):
            told |= {"type": signal.type, "sdp": signal.sdp}
        else:
            told |= {"type": "candidate", "candidate": "" if signal is None else signal.candidate}
        if not self._link.closed.is_set():
            self._signals.send_nowait(json.dumps(told))

    async def _ring(self, ring: Ring, offer: SessionDescription, generation: int) -> None:
        """Offer without the hub: no path carries the link."""
        asked = {"link": self._link.id, "generation": generation, "sdp": offer.sdp}
        try:
            answer = await ring(asked)
            if generation == self._generation:
                await self._answered(SessionDescription("answer", answer))
        except (LinkLost, Forbidden) as error:
            self._link.close(error)
        except (OSError, PlaitError, RtcError, ValueError) as error:
            _log.info("link %s: the far end does not answer: %s", self._link.id, error)
            if generation == self._generation and self._peer is not None:
                await self._peer.close()  # another try follows from that

    async def rung(self, generation: int, sdp: str) -> str:
        """Take an offer that came without the hub; return the answer.

        Raises:
            Forbidden: the far end shows another certificate than it must.
            RtcError, ValueError: the offer is of no use.
        """
        if self._pinned is not None:
            prove(sdp, self._pinned.far)
        self._link.lost("direct")  # it was silent, or is gone
        self._begin(generation)
        assert self._peer is not None  # noqa: S101 - just made
        return (await self._peer.accept(SessionDescription("offer", sdp))).sdp

    async def _answered(self, description: SessionDescription) -> None:
        if self._pinned is not None:
            prove(description.sdp, self._pinned.far)
        if self._negotiation is not None:
            await self._negotiation.receive(description)

    async def _listen(self) -> None:
        with suppress(PlaitError):  # that the link is over is told elsewhere
            async for message in self._signals:
                try:
                    await self._heard(json.loads(message))
                except Forbidden as error:
                    self._link.close(error)
                except (RtcError, ValueError, KeyError, TypeError) as error:
                    _log.warning("link %s: a signal is of no use: %s", self._link.id, error)

    async def _heard(self, told: dict[str, Any]) -> None:
        generation = int(told["generation"])
        if generation > self._generation and not self._offers:
            self._begin(generation)
        if generation != self._generation or self._negotiation is None:
            return
        if told["type"] in ("offer", "answer"):
            await self._answered(SessionDescription(told["type"], str(told["sdp"])))
        elif told["candidate"]:
            await self._negotiation.receive(IceCandidate(str(told["candidate"])))
        else:
            await self._negotiation.receive(None)

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
