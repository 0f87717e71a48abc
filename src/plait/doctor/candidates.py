"""The candidates and pairs of one connection, read from a W3C statistics report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from plait.doctor.finding import endpoint

Report = Mapping[str, Mapping[str, Any]]

RungName = Literal["ipv6", "ipv4", "stun", "turn/udp", "turn/tcp", "turn/tls", "websocket"]

RUNGS: Final[Mapping[RungName, str]] = {
    "ipv6": "direct, IPv6",
    "ipv4": "direct, IPv4",
    "stun": "direct, through NAT",
    "turn/udp": "TURN by UDP",
    "turn/tcp": "TURN by TCP",
    "turn/tls": "TURN by TLS",
    "websocket": "WebSocket",
}
"""Ways from the shortest to the longest."""


class Candidate(msgspec.Struct, frozen=True, rename="camel"):
    """An address that one end offered, or was found at.

    Attributes:
        kind: host, srflx, prflx or relay (RFC 8445, section 5.1.1).
        server: the URL of the server that it is from; empty where there was none, or it is the far end's.
        by: how a relay is reached: udp, tcp or tls; empty where it is not known.
    """

    address: str
    port: int
    kind: str
    server: str = ""
    by: str = ""

    def __str__(self) -> str:
        more = f" by {self.by.upper()}" if self.by else ""
        return f"{self.kind}{more} {endpoint((self.address, self.port))}"


class Pair(msgspec.Struct, frozen=True, rename="camel"):
    """Two candidates that were tried with each other.

    Attributes:
        state: of W3C's RTCStatsIceCandidatePairState.
        asked, answered: our checks, and those of them that were answered.
        heard: checks of the far end's.
        rtt: seconds of the last answered check.
        rung: the way that it is.
    """

    local: Candidate
    remote: Candidate
    state: str
    chosen: bool
    asked: int
    answered: int
    heard: int
    rtt: float | None
    rung: RungName


def rung_of(local: Candidate, remote: Candidate) -> RungName:
    """Return which way a pair is. A far end's relay counts as by UDP: how it reaches that is not told."""
    if local.kind == "relay":
        return "turn/tls" if local.by == "tls" else "turn/tcp" if local.by == "tcp" else "turn/udp"
    if remote.kind == "relay":
        return "turn/udp"
    if ":" in local.address:
        return "ipv6"
    return "ipv4" if (local.kind, remote.kind) == ("host", "host") else "stun"


def place(name: RungName) -> int:
    """Return how long a way is: 0 for the shortest."""
    return list(RUNGS).index(name)


def is_loopback(*candidates: Candidate) -> bool:
    """Return whether one of them leads no further than its own machine."""
    return any(each.address == "::1" or each.address.startswith("127.") for each in candidates)


def read(report: Report) -> tuple[dict[str, Candidate], list[Pair]]:
    """Return the candidates of both ends by id, and the pairs that were tried, the chosen one first."""
    candidates = {
        name: _candidate(entry)
        for name, entry in report.items()
        if entry.get("type") in ("local-candidate", "remote-candidate")
    }
    return candidates, sorted(_pairs(report, candidates), key=_order)


def _candidate(entry: Mapping[str, Any]) -> Candidate:
    return Candidate(
        address=str(entry.get("address", "")),
        port=int(entry.get("port", 0)),
        kind=str(entry.get("candidateType", "")),
        server=str(entry.get("url") or ""),
        by=str(entry.get("relayProtocol") or ""),
    )


def _pairs(report: Report, candidates: Mapping[str, Candidate]) -> list[Pair]:
    transport = next((entry for entry in report.values() if entry.get("type") == "transport"), {})
    selected = transport.get("selectedCandidatePairId")
    found = []
    for name, entry in report.items():
        ends = [candidates.get(str(entry.get(end))) for end in ("localCandidateId", "remoteCandidateId")]
        if entry.get("type") != "candidate-pair" or ends[0] is None or ends[1] is None:
            continue
        rtt = entry.get("currentRoundTripTime")
        found.append(
            Pair(
                local=ends[0],
                remote=ends[1],
                state=str(entry.get("state", "")),
                chosen=name == selected,
                asked=int(entry.get("requestsSent", 0)),
                answered=int(entry.get("responsesReceived", 0)),
                heard=int(entry.get("requestsReceived", 0)),
                rtt=float(rtt) if rtt is not None else None,
                rung=rung_of(ends[0], ends[1]),
            )
        )
    return found


def _order(pair: Pair) -> tuple[bool, int, bool]:
    return (not pair.chosen, place(pair.rung), not pair.answered)
