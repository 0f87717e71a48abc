"""The kind of NAT where there is one STUN server with one port: a relay of the same server is the second.

One end gathers its address outside by STUN, then sends its checks to the other end's relay. What they come
from there is its address outside for another port of that server (RFC 4787, section 4.1).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from plait.rtc import IceServer, PeerConnection, RtcError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plait.doctor import nat
    from plait.rtc import IceCandidate
    from plait.rtc.servers import Server

WITHIN: Final = 5.0
"""Seconds for all of it."""

LOOK_EVERY: Final = 0.1


async def look(turn: Server) -> nat.Mapping:
    """Find out by a TURN server over UDP how this machine's address outside depends on the far end's port."""
    given = turn.config
    host = f"[{turn.host}]" if ":" in turn.host else turn.host
    relay = IceServer(turn.url, given.username, given.credential, given.authorities)
    stun = IceServer(f"stun:{host}:{turn.port}")
    with suppress(TimeoutError, RtcError):
        async with (
            asyncio.timeout(WITHIN),
            PeerConnection(ice_servers=[relay], ice_transport_policy="relay") as far,
            PeerConnection(ice_servers=[stun], loopback=False) as near,
        ):
            return await _compare(near, far)
    return "unknown"


async def _compare(near: PeerConnection, far: PeerConnection) -> nat.Mapping:
    told = asyncio.Event()

    def found(candidate: IceCandidate | None) -> None:
        if candidate is None:
            told.set()
        far.add_ice_candidate(candidate)

    near.on_ice_candidate = found
    far.on_ice_candidate = near.add_ice_candidate
    near.create_data_channel("doctor")
    await near.set_answer(await far.accept(await near.create_offer()))
    await told.wait()
    while True:
        outside = {
            (entry["address"], entry["port"])
            for entry in (await near.stats()).values()
            if entry["type"] == "local-candidate" and entry["candidateType"] == "srflx"
        }
        verdict = judge(outside, heard(await far.stats()))
        if verdict != "unknown":
            return verdict
        await asyncio.sleep(LOOK_EVERY)  # what a check comes from, nothing tells


def heard(report: Mapping[str, Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Return from where checks came to the relays of a connection, as its statistics have it."""
    found = set()
    for entry in report.values():
        if entry["type"] != "candidate-pair" or not entry.get("requestsReceived"):
            continue
        local, remote = (report[entry[end]] for end in ("localCandidateId", "remoteCandidateId"))
        if local["candidateType"] == "relay":
            found.add((remote["address"], remote["port"]))
    return found


def judge(outside: set[tuple[str, int]], came_from: set[tuple[str, int]]) -> nat.Mapping:
    """Compare the addresses that the STUN server saw with those that the relay saw."""
    if outside & came_from:
        return "independent"
    ips = {ip for ip, _ in outside}
    return "port" if any(ip in ips for ip, _ in came_from) else "unknown"
