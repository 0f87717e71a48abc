"""The kind of NAT, as RFC 4787 names its behaviour and RFC 5780 finds it out. Verdicts only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from plait.doctor.finding import Finding, endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from plait.doctor.finding import Verdict

Address = tuple[str, int]

Mapping = Literal["none", "independent", "address", "port", "dependent", "unknown"]
"""How a socket's address outside depends on the far end: there is no NAT; not at all; on its address; on its
address and port; on one of the two; or too few servers answered to tell."""

Filtering = Literal["independent", "address", "port", "unknown"]
"""Who may send to that address: anybody; whose address was sent to; whose address and port were sent to."""


@dataclass(frozen=True)
class Seen:
    """What one server saw: of all of them, the same socket's."""

    server: Address
    mapped: Address


def mapping(own: Collection[Address], seen: Sequence[Seen]) -> Mapping:
    """Tell how the address outside depends on the far end (RFC 4787, section 4.1).

    Args:
        own: the socket's addresses on this machine.
        seen: what servers saw of it.
    """
    if not seen:
        return "unknown"
    if all(each.mapped in own for each in seen):
        return "none"
    if len({each.mapped for each in seen}) == 1:
        return "independent" if len({each.server for each in seen}) > 1 else "unknown"
    by_ip: dict[str, set[Address]] = {}
    ports: dict[str, set[int]] = {}
    for each in seen:
        by_ip.setdefault(each.server[0], set()).add(each.mapped)
        ports.setdefault(each.server[0], set()).add(each.server[1])
    if any(len(mapped) > 1 for mapped in by_ip.values()):
        return "port"
    # Of each address one answer: whether another port would have been another is not known.
    return "address" if any(len(asked) > 1 for asked in ports.values()) else "dependent"


_FILTERS: Final[dict[Filtering, str]] = {
    "independent": "lets in anybody",
    "address": "lets in every port of an address that was sent to",
    "port": "lets in only what was sent to",
    "unknown": "",
}


def verdict(
    found: Mapping, filtering: Filtering, seen: Sequence[Seen], *, asked: int, relayed: bool = False
) -> Finding:
    """Say what kind of NAT there is, and what it means.

    Args:
        found: from `mapping`.
        filtering: who gets in.
        seen: what servers saw.
        asked: how many servers were asked.
        relayed: a TURN server can be used.
    """
    figures = {
        "mapping": found,
        "filtering": filtering,
        "addresses": sorted({endpoint(each.mapped) for each in seen}),
    }
    outside = ", ".join(sorted({each.mapped[0] for each in seen}))

    def finding(said: str, advice: str = "", verdict: Verdict = "pass") -> Finding:
        return Finding(name="NAT", verdict=verdict, said=said, advice=advice, figures=figures)

    if not asked:
        return finding(
            "there is no STUN server to ask", "give one with --ice-server, or to the hub", verdict="skip"
        )
    if not seen:
        return finding("no STUN server answered over UDP, so it is not known", verdict="skip")
    if found == "none":
        return finding(f"none: {outside} is this machine's own address")
    if found == "unknown":
        return finding(
            f"a NAT, outside as {outside}; one server alone cannot tell which kind",
            "a second STUN server, or a second port of the first, would tell",
            verdict="skip",
        )
    lets = _FILTERS[filtering]
    if found == "independent":
        more = f"; it {lets}" if lets else ""
        return finding(
            f"cone: outside it is {outside} for every far end{more}. Direct connections work to most networks"
        )
    where = {
        "port": "address and port",
        "address": "address",
        "dependent": "address or port",
    }[found]
    means = "are relayed by TURN" if relayed else "do not come about: no TURN server can be used"
    return finding(
        f"symmetric: outside it is another port for each {where} of a far end. Connections to networks of "
        f"the same kind, or behind strict routers, {means}",
        ("" if relayed else "start a TURN server, or use the hub's. ")
        + "IPv6, a port forward of UDP in the router, or its setting for a cone (endpoint-independent) NAT "
        "make direct ones possible",
        verdict="warn",
    )
