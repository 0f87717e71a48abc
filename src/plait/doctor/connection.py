"""One connection explained: which ways were open to it, which it took, and why not a better one.

Everything here is a pure function of a W3C statistics report (https://www.w3.org/TR/webrtc-stats/), so that a
browser's could be explained as well as the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from plait.doctor.finding import endpoint, ms

if TYPE_CHECKING:
    from collections.abc import Sequence

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

RungState = Literal["used", "works", "trying", "failed", "absent"]

_SURELY: Final = 4
"""Checks of a pair without an answer after which nobody waits for one."""


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


class Failure(msgspec.Struct, frozen=True, rename="camel"):
    """A STUN or TURN server that gave this end nothing."""

    url: str
    code: int
    why: str


class Rung(msgspec.Struct, frozen=True, rename="camel"):
    """One way, and how it stands with it.

    Attributes:
        said: why it stands so.
        advice: what would help; empty where it is not needed.
    """

    name: RungName
    state: RungState
    said: str
    advice: str = ""


class Explanation(msgspec.Struct, frozen=True, rename="camel"):
    """What there is to say of a connection.

    Attributes:
        summary: in one sentence.
        local, remote: the candidates of this end and of the far one.
        pairs: those that were tried, the chosen one first.
        rungs: each way, from the shortest.
        failures: servers that gave this end nothing.
    """

    summary: str
    local: list[Candidate]
    remote: list[Candidate]
    pairs: list[Pair]
    rungs: list[Rung]
    failures: list[Failure]


def explain(
    report: Report,
    *,
    failures: Sequence[Failure] = (),
    urls: Sequence[str] = (),
    hub: float | None = None,
    over_hub: str = "",
) -> Explanation:
    """Explain a connection.

    Args:
        report: its statistics, empty where none was made.
        failures: servers that gave this end nothing.
        urls: the servers that this end was given.
        hub: seconds to the far end and back through the hub; None where the hub carries nothing.
        over_hub: why the hub carries what is sent now; empty where the connection does.
    """
    candidates = {
        name: _candidate(entry)
        for name, entry in report.items()
        if entry.get("type") in ("local-candidate", "remote-candidate")
    }
    pairs = sorted(_pairs(report, candidates), key=_order)
    # Between two machines the loopback is of no use, and only in the way of the reader.
    pairs = [
        pair for pair in pairs if pair.answered or pair.chosen or not _is_loopback(pair.local, pair.remote)
    ]
    same = any(_is_loopback(pair.local, pair.remote) for pair in pairs)
    shown = {name: each for name, each in candidates.items() if same or not _is_loopback(each)}
    local = [shown[name] for name in shown if report[name]["type"] == "local-candidate"]
    remote = [shown[name] for name in shown if report[name]["type"] == "remote-candidate"]
    seen = _Seen(local, remote, pairs, failures, urls)
    rungs = [_rung(name, seen) for name in RUNGS if name != "websocket"]
    rungs.append(_hub_rung(hub, over_hub, seen.chosen))
    return Explanation(_summary(seen.chosen, rungs, over_hub), local, remote, pairs, rungs, list(failures))


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


def rung_of(local: Candidate, remote: Candidate) -> RungName:
    """Return which way a pair is. A far end's relay counts as by UDP: how it reaches that is not told."""
    if local.kind == "relay":
        return "turn/tls" if local.by == "tls" else "turn/tcp" if local.by == "tcp" else "turn/udp"
    if remote.kind == "relay":
        return "turn/udp"
    if ":" in local.address:
        return "ipv6"
    return "ipv4" if (local.kind, remote.kind) == ("host", "host") else "stun"


def _place(name: RungName) -> int:
    return list(RUNGS).index(name)


def _order(pair: Pair) -> tuple[bool, int, bool]:
    return (not pair.chosen, _place(pair.rung), not pair.answered)


@dataclass(frozen=True)
class _Seen:
    """What a connection is explained by."""

    local: Sequence[Candidate]
    remote: Sequence[Candidate]
    pairs: Sequence[Pair]
    failures: Sequence[Failure]
    urls: Sequence[str]

    @property
    def chosen(self) -> Pair | None:
        return next((pair for pair in self.pairs if pair.chosen), None)


def _rung(name: RungName, seen: _Seen) -> Rung:
    chosen = seen.chosen
    tried = [pair for pair in seen.pairs if pair.rung == name]
    answered = [pair for pair in tried if pair.answered or pair.chosen]
    if chosen is not None and chosen.rung == name:
        rtt = f", {ms(chosen.rtt)} there and back" if chosen.rtt is not None else ""
        return Rung(name, "used", f"{chosen.local} ↔ {chosen.remote}{rtt}")
    if answered:
        best = min(answered, key=lambda pair: pair.rtt if pair.rtt is not None else 1e9)
        rtt = f" in {ms(best.rtt)}" if best.rtt is not None else ""
        return Rung(name, "works", f"{best.local} ↔ {best.remote} answers{rtt}; a better one is in use")
    if tried:
        most = max(pair.asked for pair in tried)
        if most < _SURELY:
            return Rung(name, "trying", f"{_times(most)} asked, not answered yet")
        heard = any(pair.heard for pair in tried)
        said, advice = _unanswered(name, heard=heard)
        return Rung(name, "failed", f"{_count(tried)} tried, none answered: {said}", advice)
    said, advice = _absent(name, seen)
    longer = chosen is not None and _place(chosen.rung) < _place(name)
    return Rung(name, "absent", said, "" if longer else advice)


def _unanswered(name: RungName, *, heard: bool) -> tuple[str, str]:
    if heard:
        return (
            "the far end's checks arrive, and ours do not",
            "a firewall before the far end drops what comes from here: let it answer UDP that was asked for",
        )
    match name:
        case "ipv6":
            return (
                "a firewall at one end drops IPv6 that comes from outside",
                "let UDP over IPv6 in at the router of one end: to the device, or what answers it",
            )
        case "ipv4":
            return "the two are on different networks, or a firewall at one end is in the way", ""
        case "stun":
            return (
                "the two NATs let neither in: one of them has another port for each far end",
                "IPv6 at both ends; or in one router a port forward of UDP, or its setting for a cone NAT",
            )
        case _:
            return (
                "the relay does not reach the far end",
                "let UDP through to the TURN server's relay ports, and set its published address",
            )


def _absent(name: RungName, seen: _Seen) -> tuple[str, str]:
    if name == "ipv6":
        lack = _lacking(any(map(_is_ipv6, seen.local)), any(map(_is_ipv6, seen.remote)))
        return lack, "IPv6 in both routers needs no NAT to be passed"
    if name == "ipv4":
        here, there = (any(":" not in each.address for each in end) for end in (seen.local, seen.remote))
        return _lacking(here, there), ""
    if name == "stun":
        found = any(each.kind in ("srflx", "prflx") for each in (*seen.local, *seen.remote))
        if not any(url.startswith(("stun:", "turn:")) for url in seen.urls):
            return "no STUN server was given", "name one to the hub, or switch its own on"
        failed = _failed(seen.failures, ("stun:",))
        if failed:
            return f"no address outside is known here: {failed}", "plait doctor examines the servers"
        if not found:
            return "neither end has an address outside that differs from its own", ""
        return "no pair of it was tried", ""
    by = name.removeprefix("turn/")
    ours_urls = [url for url in seen.urls if _by(url) == by]
    if not ours_urls:
        return f"no TURN server by {by.upper()} was given", (
            "switch the hub's own on, or name one in PLAIT_ICE_SERVERS"
        )
    if any(each.by == by for each in seen.local):
        return "there is a relay, and no pair of it was tried", ""
    failed = _failed(seen.failures, tuple(ours_urls))
    return f"no relay here: {failed or 'not answered yet'}", "plait doctor examines the servers"


def _by(url: str) -> str:
    if url.startswith("turns:"):
        return "tls"
    if url.startswith("turn:"):
        return "tcp" if url.endswith("transport=tcp") else "udp"
    return ""


def _failed(failures: Sequence[Failure], prefixes: tuple[str, ...]) -> str:
    return "; ".join(
        f"{each.url}: {each.code} {each.why}".rstrip() for each in failures if each.url.startswith(prefixes)
    )


def _lacking(here: bool, there: bool) -> str:
    if here and there:
        return "both ends have an address of it, and no pair was tried"
    lacks = "this end has no" if there else "the far end has no" if here else "neither end has an"
    return f"{lacks} address of it"


def _is_ipv6(candidate: Candidate) -> bool:
    return ":" in candidate.address


def _is_loopback(*candidates: Candidate) -> bool:
    return any(each.address == "::1" or each.address.startswith("127.") for each in candidates)


def _hub_rung(hub: float | None, over_hub: str, chosen: Pair | None) -> Rung:
    if hub is None:
        return Rung("websocket", "absent", "the hub carries nothing between the two now")
    rtt = f"{ms(hub)} there and back through the hub"
    if over_hub or chosen is None:
        return Rung("websocket", "used", f"{rtt}: {over_hub or 'there is no other way'}")
    return Rung("websocket", "works", rtt)


def _summary(chosen: Pair | None, rungs: Sequence[Rung], over_hub: str) -> str:
    if chosen is None or over_hub:
        why = over_hub or "no pair of candidates works"
        return f"through the hub by WebSocket, since {why}"
    shorter = [rung for rung in rungs[: _place(chosen.rung)] if rung.state in ("failed", "absent")]
    match chosen.rung:
        case "ipv6" | "ipv4":
            return f"{RUNGS[chosen.rung]}: the shortest way that there is"
        case "stun":
            return "direct, through the routers' NATs: nothing is relayed"
        case _:
            side = "this end's" if chosen.local.kind == "relay" else "the far end's"
            why = next((f"{RUNGS[rung.name]}: {rung.said}" for rung in reversed(shorter)), "")
            return f"relayed by {side} TURN server" + (f", since no direct way works ({why})" if why else "")


def _count(tried: Sequence[Pair]) -> str:
    return "one pair was" if len(tried) == 1 else f"{len(tried)} pairs were"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
