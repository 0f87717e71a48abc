"""Each way that a connection could have taken: how it stands with it, why, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from plait.doctor.candidates import RUNGS, RungName, place
from plait.doctor.finding import ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.doctor.candidates import Candidate, Pair

RungState = Literal["used", "works", "trying", "failed", "absent"]

_SURELY: Final = 4
"""Checks of a pair without an answer after which nobody waits for one."""


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


@dataclass(frozen=True)
class Seen:
    """What a connection is explained by."""

    local: Sequence[Candidate]
    remote: Sequence[Candidate]
    pairs: Sequence[Pair]
    failures: Sequence[Failure]
    urls: Sequence[str]

    @property
    def chosen(self) -> Pair | None:
        """The pair in use."""
        return next((pair for pair in self.pairs if pair.chosen), None)


def rungs(seen: Seen, hub: float | None, over_hub: str) -> list[Rung]:
    """Return each way, from the shortest; for `hub` and `over_hub` see `connection.explain`."""
    direct = [_rung(name, seen) for name in RUNGS if name != "websocket"]
    return [*direct, _hub_rung(hub, over_hub, seen.chosen)]


def _rung(name: RungName, seen: Seen) -> Rung:
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
    longer = chosen is not None and place(chosen.rung) < place(name)
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


def _absent(name: RungName, seen: Seen) -> tuple[str, str]:
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


def _hub_rung(hub: float | None, over_hub: str, chosen: Pair | None) -> Rung:
    if hub is None:
        return Rung("websocket", "absent", "the hub carries nothing between the two now")
    rtt = f"{ms(hub)} there and back through the hub"
    if over_hub or chosen is None:
        return Rung("websocket", "used", f"{rtt}: {over_hub or 'there is no other way'}")
    return Rung("websocket", "works", rtt)


def _count(tried: Sequence[Pair]) -> str:
    return "one pair was" if len(tried) == 1 else f"{len(tried)} pairs were"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
