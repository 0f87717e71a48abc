"""All examinations, at once, each bounded in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from plait.doctor import camera, codecs, hub, ipv6, mdns, mirror, nat, relay, servers
from plait.doctor.finding import Finding, failed
from plait.rtc import IceServer
from plait.rtc import servers as urls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from plait.transport.trust import Trust

_T = TypeVar("_T")

LIMIT: Final = 20.0
"""Seconds after which an examination is given up, whatever it waits for."""


@dataclass(frozen=True)
class Patient:
    """What is examined.

    Attributes:
        hub: its address; None to leave it out.
        token: of a user or of a thing.
        ssl: whom to trust for https; the system's authorities where None (`plait.transport.trust`).
        ice_servers: servers beside those that the hub tells, as W3C `RTCIceServer` dictionaries.
        camera: a source to look at instead of this machine's cameras.
    """

    hub: str | None = None
    token: str | None = None
    ssl: Trust | None = None
    ice_servers: Sequence[Mapping[str, Any]] = ()
    camera: str | None = None


async def examine(patient: Patient) -> AsyncIterator[Finding]:
    """Examine, and tell each finding as soon as it and those before it in the order of a report are there.

    Raises:
        ValueError: the hub's address, or a server's URL, is none.
    """
    if patient.hub is not None:
        hub.Place.parse(patient.hub)
    given = [IceServer.from_dict(server) for server in patient.ice_servers]
    urls.read(given)
    walking = asyncio.create_task(_bounded("hub", lambda: _hub(patient)))
    network = asyncio.create_task(_bounded("network", lambda: _network(given, walking)))
    alone: list[asyncio.Task[list[Finding]]] = [
        asyncio.create_task(_findings("mDNS", _mdns)),
        asyncio.create_task(_findings("codecs", _codecs)),
        asyncio.create_task(_findings("camera", lambda: camera.look(patient.camera))),
    ]
    try:
        walked = await walking
        for finding in [walked] if isinstance(walked, Finding) else walked.findings:
            yield finding
        found = await network
        for finding in [found] if isinstance(found, Finding) else found:
            yield finding
        for task in alone:
            for finding in await task:
                yield finding
    finally:
        for left in (walking, network, *alone):
            left.cancel()
        await asyncio.gather(walking, network, *alone, return_exceptions=True)


async def _hub(patient: Patient) -> hub.Told:
    if patient.hub is None:
        return hub.Told()
    return await hub.examine(patient.hub, patient.token, patient.ssl)


async def _network(given: list[IceServer], walking: asyncio.Task[hub.Told | Finding]) -> list[Finding]:
    told = await walking
    of_hub = [] if isinstance(told, Finding) else told.ice_servers or []
    known = _usable([*given, *(IceServer.from_dict(each) for each in of_hub if each.get("urls"))])
    reached, relays = await asyncio.gather(servers.ask(known), relay.ask(known))
    relayed = any(each.round_trip is not None for each in relays)
    usable = {each.url for each in relays if each.round_trip is not None and each.transport == "udp"}
    relay_by_udp = next((each for each in known if each.url in usable), None)
    if reached.mapping == "unknown" and reached.seen and relay_by_udp is not None:
        reached.mapping = await mirror.look(relay_by_udp)
    over_tcp = [] if isinstance(told, Finding) else [name for each in told.findings for name in each.figures]
    own6 = ipv6.address()
    return [
        *servers.verdict(reached, relayed=relayed),
        nat.verdict(
            reached.mapping, reached.filtering, reached.seen, asked=len(reached.asked), relayed=relayed
        ),
        *relay.verdict(relays),
        ipv6.verdict(
            own6,
            answered=reached.ipv6,
            asked=any(":" in ip for ip, _ in reached.asked),
            hub=[name.strip("[]") for name in over_tcp if name.startswith("[")],
        ),
    ]


def _usable(known: list[IceServer]) -> list[urls.Server]:
    """Return the servers by URL, each once; what the hub tells and nobody understands is left out."""
    found: dict[tuple[str, str], urls.Server] = {}
    for server in known:
        for url in (server.urls,) if isinstance(server.urls, str) else server.urls:
            try:
                read = urls.read([IceServer(url, server.username, server.credential, server.authorities)])
            except ValueError:
                continue
            for each in read:
                found.setdefault((each.url, server.username), each)
    return list(found.values())


async def _mdns() -> list[Finding]:
    return [mdns.verdict(await mdns.listen())]


async def _codecs() -> list[Finding]:
    return codecs.verdict(await codecs.look())


async def _findings(name: str, work: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    found = await _bounded(name, work)
    return [found] if isinstance(found, Finding) else found


async def _bounded(name: str, work: Callable[[], Awaitable[_T]]) -> _T | Finding:
    try:
        async with asyncio.timeout(LIMIT):
            return await work()
    except TimeoutError:
        return failed(
            name,
            f"not done within {LIMIT:g} s",
            advice="try again; if it stays so, tell us with what --json prints",
        )
    except Exception as error:  # noqa: BLE001 - one examination that breaks must not take the others with it
        return failed(
            name,
            f"the examination broke: {type(error).__name__}: {error}",
            advice="tell us with what --json prints",
        )
