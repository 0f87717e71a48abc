"""STUN servers, and TURN servers, which are that too: who answers over UDP, and what NAT that shows."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from plait.doctor import nat
from plait.doctor.finding import Finding, endpoint, ms, passed, warned
from plait.rtc.stun import StunError, StunSocket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.doctor.finding import Verdict
    from plait.rtc.servers import Server
    from plait.rtc.stun import Answer

WITHIN: Final = 3.0
"""Seconds that a server has to answer."""

Address = tuple[str, int]


@dataclass
class Reached:
    """What asking the servers came to.

    Attributes:
        asked: the addresses that were asked over UDP, with the URL of each.
        answers: those that answered.
        refused: those that answered with an error, in words.
        mapping, filtering, seen: see `nat`, of IPv4.
    """

    asked: dict[Address, str] = field(default_factory=dict)
    unresolved: list[str] = field(default_factory=list)
    answers: dict[Address, Answer] = field(default_factory=dict)
    refused: dict[Address, str] = field(default_factory=dict)
    mapping: nat.Mapping = "unknown"
    filtering: nat.Filtering = "unknown"
    seen: list[nat.Seen] = field(default_factory=list)

    @property
    def ipv6(self) -> bool:
        """Whether one answered over IPv6."""
        return any(":" in ip for ip, _ in self.answers)


async def ask(servers: Sequence[Server]) -> Reached:
    """Ask all servers that speak UDP, from one socket for each family, and find out the NAT's kind."""
    reached = Reached()
    resolved = await asyncio.gather(
        *(_resolve(server) for server in servers if server.transport in ("", "udp"))
    )
    for url, addresses in resolved:
        if addresses:
            for address in addresses:
                reached.asked.setdefault(address, url)
        else:
            reached.unresolved.append(url)
    v4 = [address for address in reached.asked if ":" not in address[0]]
    v6 = [address for address in reached.asked if ":" in address[0]]
    await asyncio.gather(_ask_v4(v4, reached), _ask_v6(v6, reached))
    return reached


async def _resolve(server: Server) -> tuple[str, list[Address]]:
    try:
        return server.url, await server.addresses()
    except (OSError, TimeoutError):
        return server.url, []


async def _ask_v6(addresses: Sequence[Address], reached: Reached) -> None:
    if not addresses:
        return
    try:
        async with StunSocket(socket.AF_INET6) as asking:
            await asyncio.gather(*(_one(asking, address, reached) for address in addresses))
    except OSError:
        return  # no IPv6 here: none has answered, then


async def _ask_v4(addresses: Sequence[Address], reached: Reached) -> None:
    if not addresses:
        return
    async with StunSocket() as asking:
        await asyncio.gather(*(_one(asking, address, reached) for address in addresses))
        first = [answer for address, answer in reached.answers.items() if ":" not in address[0]]
        able = next((answer for answer in first if answer.other is not None), None)
        if able is not None and able.mapped != (_facing(able.server), asking.port):
            # Before anything is sent to its other address: some routers let in whoever this machine knows.
            reached.filtering = await _filtering(able)
        # A server with another address or port says so: it is as good as a second server (RFC 5780, 4.3).
        more = {
            where
            for answer in first
            if answer.other is not None
            for where in (
                (answer.other[0], answer.server[1]),
                answer.other,
                (answer.server[0], answer.other[1]),
            )
        } - set(addresses)
        others = await asyncio.gather(*(_quietly(asking, where) for where in more))
        answers = [*first, *(each for each in others if each is not None)]
        reached.seen = [nat.Seen(each.server, each.mapped) for each in answers if each.mapped is not None]
        own = {(_facing(each.server), asking.port) for each in answers}
        reached.mapping = nat.mapping(own, reached.seen)


async def _one(asking: StunSocket, address: Address, reached: Reached) -> None:
    try:
        answer = await asking.ask(address, within=WITHIN)
    except StunError as error:
        reached.refused[address] = str(error)
        return
    except (OSError, TimeoutError):
        return
    # The first took with it what a first packet takes: neighbours asked for, and this program's start. Some
    # servers tell their other address only who asks for it; those that do not know of such things refuse.
    again = await _quietly(asking, address, change=None if answer.other else (False, False))
    if again is not None:
        quicker = min(answer.round_trip, again.round_trip)
        answer = replace(answer, other=answer.other or again.other, round_trip=quicker)
    reached.answers[address] = answer


async def _quietly(
    asking: StunSocket, address: Address, *, change: tuple[bool, bool] | None = None
) -> Answer | None:
    try:
        return await asking.ask(address, change=change, within=WITHIN / 2)
    except (OSError, TimeoutError, StunError):
        return None


async def _filtering(able: Answer) -> nat.Filtering:
    """RFC 5780, section 4.4; from a socket of its own: what was sent to elsewhere gets in already."""
    other = able.other
    assert other is not None  # noqa: S101 - chosen for that
    async with StunSocket() as asking:
        if await _quietly(asking, able.server) is None:
            return "unknown"
        elsewhere = other[0] != able.server[0]
        changed = await asyncio.gather(
            _quietly(asking, able.server, change=(elsewhere, True)),
            _quietly(asking, able.server, change=(False, True)),
        )
        anybody, port = (each is not None and each.source != able.server for each in changed)
        if anybody and elsewhere:
            return "independent"
        if port:
            return "address" if elsewhere else "unknown"
        return "port"


def _facing(server: Address) -> str:
    """Return the address of this machine from which a server is reached; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(server)
        return str(probe.getsockname()[0])


def verdict(reached: Reached, *, relayed: bool) -> list[Finding]:
    """Say which servers answer over UDP.

    Args:
        reached: from `ask`.
        relayed: some TURN server can be used, over whatever.
    """
    findings = []
    for address, url in reached.asked.items():
        name = f"UDP to {endpoint(address)}"
        answer = reached.answers.get(address)
        if answer is not None:
            figures = {"url": url, "roundTripMs": round(answer.round_trip * 1000, 2)}
            said = f"{ms(answer.round_trip)} there and back"
            findings.append(passed(name, said, figures=figures))
            continue
        if address in reached.refused:
            findings.append(
                warned(
                    name,
                    f"the server refuses: {reached.refused[address]}",
                    advice="allow Binding requests without credentials (coturn: no secure-stun)",
                    figures={"url": url},
                )
            )
            continue
        findings.append(_silent(name, url, reached, address, relayed=relayed))
    findings.extend(
        Finding(
            name=url,
            verdict="warn" if relayed or reached.answers else "fail",
            said="its name leads nowhere",
            advice="correct it in the hub's PLAIT_ICE_SERVERS, or look at this machine's name server",
            figures={"url": url},
        )
        for url in reached.unresolved
    )
    return findings


def _silent(name: str, url: str, reached: Reached, address: Address, *, relayed: bool) -> Finding:
    if ":" in address[0] and any(":" not in ip for ip, _ in reached.answers):
        said, advice = "no answer over IPv6", "nothing needs to be done: IPv4 answers"
        return passed(name, said, advice=advice, figures={"url": url})
    if reached.answers:
        said = "no answer, while others answer"
        advice = "the server is down, its address is wrong, or a firewall lets UDP out to some ports only"
    else:
        said = "no answer"
        advice = (
            f"a firewall here lets no UDP out, or the server is down. Let UDP to port {address[1]} out for "
            "the shortest way" + ("; until then TURN over TCP or TLS carries all" if relayed else "")
        )
    kind: Verdict = "warn" if relayed or reached.answers else "fail"
    return Finding(name=name, verdict=kind, said=said, advice=advice, figures={"url": url})
