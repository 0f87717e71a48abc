"""TURN by each transport: a relay is asked for, and a data channel taken through two of them and back."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from plait.doctor.finding import Finding, ms, passed, warned
from plait.rtc import IceServer, PeerConnection, RtcError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.doctor.finding import Verdict
    from plait.rtc import DataChannel, IceCandidate, IceCandidateError
    from plait.rtc.servers import Server

WITHIN: Final = 8.0
"""Seconds for all that is done with one server."""

TURNS: Final = 5
"""Messages behind the round trip."""

_NAMES: Final = {"udp": "UDP", "tcp": "TCP", "tls": "TLS"}
_UNREACHABLE: Final = 701
_REFUSED: Final = {
    401: "it does not take the credentials: its secret or realm differs from what the hub has, or its clock",
    403: "the server forbids this",
    437: "",
    438: "",
    486: "its quota for this user is used up: end other calls, or raise it (coturn: user-quota)",
    508: "it has no relay ports left: widen its range (coturn: min-port, max-port)",
}


@dataclass
class Relayed:
    """What one TURN server came to, by one transport.

    Attributes:
        url: of the server.
        transport: "udp", "tcp" or "tls".
        address: the relayed address; empty where there was none.
        allocated: seconds until it was there.
        round_trip: seconds to the server and back, as a message took them through two relays of it.
        code, why: the server's error, or 701 where it was not reached.
    """

    url: str
    transport: str
    address: str = ""
    allocated: float = 0.0
    round_trip: float | None = None
    code: int = 0
    why: str = ""


async def ask(servers: Sequence[Server]) -> list[Relayed]:
    """Try every TURN server among these, all at once."""
    return list(await asyncio.gather(*(_try(server) for server in servers if server.transport)))


async def _try(server: Server) -> Relayed:
    relayed = Relayed(server.url, server.transport)
    given = server.config
    only = IceServer(server.url, given.username, given.credential, given.authorities)
    with suppress(TimeoutError, RtcError):
        async with asyncio.timeout(WITHIN), AsyncExitStack() as stack:
            one, other = (PeerConnection(ice_servers=[only], ice_transport_policy="relay") for _ in "ab")
            for end in (one, other):
                await stack.enter_async_context(end)
            channel = await _join(one, other, _note(one, relayed))
            if channel is not None:
                relayed.round_trip = await _measure(*channel)
    return relayed


def _note(end: PeerConnection, relayed: Relayed) -> asyncio.Event:
    """Note what comes of one end's relay; the event is set once there will be none."""
    began = time.perf_counter()
    over = asyncio.Event()

    def failed(error: IceCandidateError) -> None:
        relayed.code, relayed.why = error.error_code, error.error_text

    def found(candidate: IceCandidate | None) -> None:
        if candidate is None:
            if not relayed.address:
                over.set()
        elif " typ relay" in candidate.candidate and not relayed.address:
            fields = candidate.candidate.split()
            relayed.address = f"{fields[4]} {fields[5]}"
            relayed.allocated = time.perf_counter() - began

    end.on_ice_candidate_error = failed
    end.on_ice_candidate = found
    return over


async def _join(
    one: PeerConnection, other: PeerConnection, refused: asyncio.Event
) -> tuple[DataChannel, DataChannel] | None:
    """Connect two ends through their relays; None where there are none."""
    note = one.on_ice_candidate
    came: asyncio.Queue[DataChannel] = asyncio.Queue()

    def found(candidate: IceCandidate | None) -> None:
        if note is not None:
            note(candidate)
        other.add_ice_candidate(candidate)

    one.on_ice_candidate = found
    other.on_ice_candidate = one.add_ice_candidate
    other.on_data_channel = came.put_nowait
    channel = one.create_data_channel("doctor", ordered=False, max_retransmits=0)
    await one.set_answer(await other.accept(await one.create_offer()))
    opened = asyncio.ensure_future(channel.opened())
    over = asyncio.ensure_future(refused.wait())
    try:
        await asyncio.wait({opened, over}, return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            return None
        await opened
        return channel, await came.get()
    finally:
        for task in (opened, over):
            task.cancel()
        await asyncio.gather(opened, over, return_exceptions=True)


async def _measure(channel: DataChannel, far: DataChannel) -> float | None:
    """Return the shortest time from one end to the other: to the server, and back to this machine."""
    times = []
    for turn in range(TURNS):
        began = time.perf_counter()
        await channel.send(bytes([turn]))
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await far.receive()
                times.append(time.perf_counter() - began)
    return min(times, default=None)


def verdict(tried: Sequence[Relayed]) -> list[Finding]:
    """Say which TURN servers can be used, and by what."""
    any_works = any(each.round_trip is not None for each in tried)
    return [_one(each, any_works=any_works) for each in tried] or [
        warned(
            "TURN",
            "there is no TURN server",
            advice="without one, calls between strict networks do not come about: switch the hub's own on, "
            "or name others in PLAIT_ICE_SERVERS",
        )
    ]


def _one(tried: Relayed, *, any_works: bool) -> Finding:
    name = f"TURN by {_NAMES.get(tried.transport, tried.transport)}"
    figures: dict[str, Any] = {"url": tried.url, "transport": tried.transport}
    if tried.round_trip is not None:
        figures |= {
            "allocatedMs": round(tried.allocated * 1000, 2),
            "roundTripMs": round(tried.round_trip * 1000, 2),
        }
        said = f"{ms(tried.round_trip)} there and back through {tried.url}"
        return passed(name, said, figures=figures)
    kind: Verdict = "warn" if any_works else "fail"
    if tried.address:
        figures |= {"allocatedMs": round(tried.allocated * 1000, 2)}
        said = f"{tried.url} gives relays, and nothing passes between two of them"
        advice = (
            "allow the server's own address as a peer (coturn: allowed-peer-ip), let UDP through to its "
            "relay ports, and set its published address where it is behind NAT (coturn: external-ip)"
        )
        return Finding(name=name, verdict=kind, said=said, advice=advice, figures=figures)
    figures |= {"code": tried.code}
    if tried.code in (0, _UNREACHABLE):
        said = f"{tried.url} cannot be reached: {tried.why or 'no answer'}"
        advice = (
            f"the server is down or its address wrong, or a firewall here lets no {_NAMES[tried.transport]} "
            "out to its port"
        )
        if "ertificate" in tried.why:
            advice = "have this machine trust who signed its certificate, or correct that"
        if any_works:
            advice += "; others work"
    else:
        said = f"{tried.url} gives no relay: {tried.code} {tried.why}"
        advice = _REFUSED.get(tried.code) or "look at the server's log"
    return Finding(name=name, verdict=kind, said=said, advice=advice, figures=figures)
