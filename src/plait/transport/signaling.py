"""A call's signals, as both of its ends see them; what they mean is the media's matter, not ours.

`docs/protocol.md`, "Signaling": offers are answered, candidates and the bye are told. Nothing here knows
WebRTC; SDP and candidates are opaque text.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from plait.wire.errors import ActionFailed, InvalidMessage, PlaitError, Timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

ANSWER_WITHIN: Final = 15.0
"""Seconds in which an offer is answered."""

WAITING: Final = 256
"""Candidates that wait for somebody to take them; beyond it they are dropped."""


class CandidateLike(Protocol):
    """An ICE candidate in W3C terms; `plait.rtc.IceCandidate` is one."""

    @property
    def candidate(self) -> str: ...  # noqa: D102 - RTCIceCandidate.candidate
    @property
    def sdp_mid(self) -> str | None: ...  # noqa: D102 - RTCIceCandidate.sdpMid
    @property
    def sdp_m_line_index(self) -> int | None: ...  # noqa: D102 - RTCIceCandidate.sdpMLineIndex


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """An ICE candidate from the other end.

    Attributes:
        candidate: its text (RFC 8839, section 5.1).
        sdp_mid: the media section it belongs to, by its `mid`.
        sdp_m_line_index: the same, by its place.
    """

    candidate: str
    sdp_mid: str | None = msgspec.field(default=None, name="sdpMid")
    sdp_m_line_index: int | None = msgspec.field(default=None, name="sdpMLineIndex")


class Offer:
    """An offer from the other end, which waits for its answer.

    Attributes:
        sdp: its text (RFC 8866).
    """

    def __init__(self, sdp: str) -> None:
        self.sdp = sdp
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def answer(self, sdp: str) -> None:
        """Answer it; only the first answer or refusal counts."""
        if not self._answer.done():
            self._answer.set_result(sdp)

    def refuse(self, error: PlaitError) -> None:
        """Answer it with an error."""
        if not self._answer.done():
            self._answer.set_exception(error)

    async def answered(self) -> str:
        """Wait for the answer.

        Raises:
            PlaitError: it was refused.
            Timeout: there was none in time.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(self._answer), ANSWER_WITHIN)
        except PlaitError:
            raise
        except TimeoutError:
            self._answer.cancel()
            raise Timeout("The offer was not answered") from None


class Signaling:
    """One end of one call.

    Args:
        id: the call's id, from the hub.
        ice_servers: STUN and TURN servers as W3C `RTCIceServer` dictionaries.
        ask: sends an offer's data and returns its answer's.
        tell: sends a candidate's or a bye's data.
        renew: asks the hub for fresh servers (`iceservers`), and returns the output.

    Attributes:
        id: see above.
        ice_servers: see above.
        on_bye: called once with the reason, when the call has ended and not by our own `bye`.
        reason: why the call has ended, once it has.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the protocol's name for it
        *,
        ice_servers: Sequence[Mapping[str, Any]] = (),
        ask: Callable[[dict[str, Any]], Awaitable[Any]],
        tell: Callable[[dict[str, Any]], None],
        renew: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        self.id = id
        self.ice_servers = tuple(ice_servers)
        self.on_bye: Callable[[str], None] | None = None
        self.reason = ""
        self._over = asyncio.Event()
        self._ask = ask
        self._tell = tell
        self._renew = renew
        self._on_candidate: Callable[[Candidate | None], None] | None = None
        self._candidates: list[Candidate | None] = []
        self._offers: asyncio.Queue[Offer | None] = asyncio.Queue()
        self._open: set[Offer] = set()

    @property
    def ended(self) -> bool:
        """Whether the call is over: no more signals pass."""
        return self._over.is_set()

    async def over(self) -> str:
        """Wait until the call has ended, by either side; return the reason."""
        await self._over.wait()
        return self.reason

    @property
    def on_candidate(self) -> Callable[[Candidate | None], None] | None:
        """Called with each candidate of the other end, and None after the last; earlier ones wait for it."""
        return self._on_candidate

    @on_candidate.setter
    def on_candidate(self, take: Callable[[Candidate | None], None] | None) -> None:
        self._on_candidate = take
        if take is not None:
            waiting, self._candidates = self._candidates, []
            for candidate in waiting:
                take(candidate)

    async def renewed_servers(self) -> Sequence[Mapping[str, Any]]:
        """Ask the hub for fresh `ice_servers`, before ICE is restarted, and return them.

        Raises:
            PlaitError: the hub is not there, or knows no such call.
        """
        if self._renew is not None:
            self.ice_servers = tuple(servers_in(await self._renew()))
        return self.ice_servers

    async def offer(self, sdp: str) -> str:
        """Offer to the other end; return its answer's SDP.

        Raises:
            PlaitError: the hub or the other end refused, or was not there.
        """
        answer = await self._ask({"type": "offer", "sdp": sdp})
        text = answer.get("sdp") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise InvalidMessage("The answer to an offer holds its `sdp`", field="/output/sdp")
        return text

    async def offers(self) -> AsyncIterator[Offer]:
        """Yield the other end's offers, the first and any later one, until the call has ended."""
        while (offer := await self._offers.get()) is not None:
            yield offer

    def send_candidate(self, candidate: CandidateLike | None) -> None:
        """Tell the other end one of our candidates, or with None that there are no more."""
        if self.ended:
            return
        if candidate is None:
            self._tell({"type": "candidate", "candidate": ""})
            return
        plain = Candidate(candidate.candidate, candidate.sdp_mid, candidate.sdp_m_line_index)
        self._tell({"type": "candidate", **msgspec.to_builtins(plain)})

    def bye(self, reason: str = "") -> None:
        """End the call; a second bye does nothing."""
        if not self.ended:
            self._tell({"type": "bye", **({"reason": reason} if reason else {})})
            self._close(reason)

    async def refuse_open(self, error: PlaitError) -> None:
        """Refuse the offers that wait for an answer; return once that is said, so that a bye may follow."""
        for offer in tuple(self._open):
            offer.refuse(error)
        while self._open:  # noqa: ASYNC110 - their answers are already on the loop, a turn or two from here
            await asyncio.sleep(0)

    # What comes in, given by whoever holds the connection

    async def take_offer(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Give the other end's offer to `offers`, and return the answer's data.

        Raises:
            PlaitError: it was refused, is no offer, or the call has ended.
        """
        sdp = data.get("sdp")
        if data.get("type") != "offer" or not isinstance(sdp, str):
            raise InvalidMessage("An offer holds its `sdp`", field="/data/sdp")
        if self.ended:
            raise _ended(self.reason)
        offer = Offer(sdp)
        self._open.add(offer)
        self._offers.put_nowait(offer)
        try:
            return {"type": "answer", "sdp": await offer.answered()}
        finally:
            self._open.discard(offer)

    def take(self, data: Any) -> None:
        """Take a candidate or a bye of the other end; anything else is left alone."""
        match data:
            case {"type": "candidate", "candidate": ""}:
                self._take_candidate(None)
            case {"type": "candidate"}:
                try:
                    self._take_candidate(msgspec.convert(data, Candidate))
                except msgspec.ValidationError:
                    return  # one bad candidate is one path fewer, not the end of a call
            case {"type": "bye"}:
                self.lose(str(data.get("reason", "")))

    def lose(self, reason: str) -> None:
        """Note that the call has ended from the far side, or because the session did."""
        if self.ended:
            return
        self._close(reason)
        if self.on_bye is not None:
            self.on_bye(reason)

    def _take_candidate(self, candidate: Candidate | None) -> None:
        if self._on_candidate is not None:
            self._on_candidate(candidate)
        elif len(self._candidates) < WAITING:
            self._candidates.append(candidate)

    def _close(self, reason: str) -> None:
        self.reason = reason
        self._over.set()
        self._offers.put_nowait(None)
        for offer in tuple(self._open):
            offer.refuse(_ended(reason))


def servers_in(output: Any) -> Sequence[Mapping[str, Any]]:
    """Return the `iceServers` in an answer of the hub's.

    Raises:
        InvalidMessage: there are none.
    """
    servers = output.get("iceServers") if isinstance(output, dict) else None
    if not isinstance(servers, list):
        raise InvalidMessage("The answer to `iceservers` holds them", field="/output/iceServers")
    return servers


def _ended(reason: str) -> ActionFailed:
    return ActionFailed(f"The call has ended: {reason}" if reason else "The call has ended")
