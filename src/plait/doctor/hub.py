"""The way to the hub: TCP, TLS, HTTP, WebSocket; and what it tells: its time and its servers."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import socket
import ssl as tls
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from plait.doctor import certificate, clock
from plait.doctor.finding import endpoint, failed, ms, passed, skipped, warned
from plait.transport import websocket
from plait.transport.base import TransportClosed
from plait.transport.trust import PinnedRoot
from plait.wire.errors import PlaitError

if TYPE_CHECKING:
    from plait.doctor.finding import Finding
    from plait.transport.trust import Trust

WITHIN: Final = 5.0
"""Seconds that each step may take."""

_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_LONGEST: Final = 1 << 20


@dataclass(frozen=True)
class Place:
    """A hub's address, taken apart."""

    host: str
    port: int
    secure: bool

    @classmethod
    def parse(cls, url: str) -> Place:
        """Take it apart.

        Raises:
            ValueError: it is none.
        """
        websocket.endpoint(url)  # says what is wrong with it
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme in ("https", "wss"))


@dataclass
class Told:
    """What the hub has told.

    Attributes:
        ice_servers: W3C `RTCIceServer` dictionaries; None where it did not say.
        seen_as: this machine's address, as the hub sees it.
    """

    findings: list[Finding] = field(default_factory=list)
    ice_servers: list[dict[str, Any]] | None = None
    seen_as: str = ""


async def examine(url: str, token: str | None, trusts: Trust | None) -> Told:
    """Walk to the hub, step by step, and ask it."""
    place = Place.parse(url)
    told = Told()
    tcp = await _tcp(place)
    told.findings.append(tcp)
    if tcp.verdict == "fail":
        return told
    trusted: tls.SSLContext | None = None
    if place.secure:
        shown, trusted = await _tls(place, url, trusts)
        told.findings.append(shown)
        if shown.verdict == "fail":
            return told
    asked, opened = await asyncio.gather(_ask(place, token, trusted, told), _open(url, token, trusted))
    told.findings += [opened, *asked]
    return told


async def _tcp(place: Place) -> Finding:
    name = "hub by TCP"
    loop = asyncio.get_running_loop()
    where = endpoint((place.host, place.port))
    try:
        async with asyncio.timeout(WITHIN):
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return failed(
            name,
            f"the name {place.host} leads nowhere",
            advice="look at the hub's address (--hub or PLAIT_HUB), and at this machine's name server",
        )
    addresses = list(dict.fromkeys((str(each[4][0]), int(each[4][1])) for each in found))
    tried = await asyncio.gather(*(_connect(address) for address in addresses[:4]))
    ways = [
        (address, took) for address, took in zip(addresses, tried, strict=False) if isinstance(took, float)
    ]
    figures = {endpoint(address): round(took * 1000, 2) for address, took in ways}
    if ways:
        said = ", ".join(f"{ms(took)} to {endpoint(address)}" for address, took in ways)
        return passed(name, said, figures=figures)
    why = tried[0]
    if getattr(why, "errno", None) in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return failed(
            name,
            f"this machine has no way to {where}",
            advice="look at its cable or Wi-Fi; on a network with IPv6 alone, the hub needs an address of it",
        )
    if isinstance(why, ConnectionRefusedError):
        return failed(
            name,
            f"nobody listens at {where}",
            advice="start the hub (plait hub), or give its address with --hub; a hub listens on the loopback "
            "alone unless --host says otherwise",
        )
    return failed(
        name,
        f"{where} does not answer",
        advice="a firewall lets no TCP through to there, or the machine is off: most let port 443 out",
    )


async def _connect(address: tuple[str, int]) -> float | Exception:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(WITHIN):
            _, writer = await asyncio.open_connection(*address)
    except (OSError, TimeoutError) as error:
        return error
    took = loop.time() - began
    writer.transport.abort()
    return took


async def _tls(place: Place, url: str, trusts: Trust | None) -> tuple[Finding, tls.SSLContext | None]:
    trusted = None if isinstance(trusts, PinnedRoot) else trusts
    try:
        if isinstance(trusts, PinnedRoot):
            trusted = await trusts.context(url)
        shown = await certificate.look(place.host, place.port, trusted, WITHIN)
    except (OSError, TimeoutError) as error:
        refused = failed(
            "TLS",
            f"no handshake: {getattr(error, 'strerror', '') or 'no answer'}",
            advice="the hub may speak plain http there, something between may refuse TLS, or the pin is "
            "another hub's: plait hub ca prints it",
        )
        return refused, trusted
    return certificate.verdict(shown, place.host), trusted


async def _ask(place: Place, token: str | None, trusted: tls.SSLContext | None, told: Told) -> list[Finding]:
    try:
        status, headers, body, took = await asyncio.to_thread(_get, place, token, trusted)
    except (OSError, http.client.HTTPException) as error:
        return [
            failed(
                "hub by HTTP",
                f"no answer: {str(error) or 'it closed the connection'}",
                advice="something else listens there, or a proxy between does not let it through",
            )
        ]
    ours, rounded = datetime.now(UTC) - timedelta(seconds=took / 2), timedelta(seconds=took / 2)
    hubs: datetime | None = None
    with suppress(KeyError, ValueError, TypeError):
        hubs, rounded = parsedate_to_datetime(headers["date"]), rounded + timedelta(seconds=1)
    findings = []
    if status == 200:
        with suppress(ValueError, KeyError, TypeError):
            said = json.loads(body)
            hubs, rounded = datetime.fromisoformat(said["time"]), timedelta(seconds=took / 2)
            told.ice_servers = [each for each in said["iceServers"] if isinstance(each, dict)]
            told.seen_as = str(said["address"][0]) if said.get("address") else ""
    findings.append(credential(status, token is not None))
    findings.append(clock.verdict(ours, hubs, within=rounded))
    return findings


def credential(status: int, given: bool) -> Finding:
    """Say what the hub's answer to the request with our token means.

    Args:
        status: of HTTP.
        given: there was a token.
    """
    name = "token"
    if status == 200:
        return passed(name, "the hub takes it")
    if status in (401, 403) and not given:
        return skipped(
            name,
            "none was given, so the hub tells no STUN and TURN servers",
            advice="give one with --token or PLAIT_TOKEN; plait hub user-token makes one",
        )
    if status in (401, 403):
        return failed(
            name,
            f"the hub does not take it (HTTP {status})",
            advice="plait hub user-token makes one for people, plait hub token THING one for a device",
        )
    return warned(
        name,
        f"the hub answers HTTP {status} to the doctor",
        advice="it may be older than this program, or no hub: look at its version",
    )


def _get(
    place: Place, token: str | None, trusted: tls.SSLContext | None
) -> tuple[int, dict[str, str], bytes, float]:
    connection = (
        http.client.HTTPSConnection(
            place.host, place.port, timeout=WITHIN, context=trusted or tls.create_default_context()
        )
        if place.secure
        else http.client.HTTPConnection(place.host, place.port, timeout=WITHIN)
    )
    try:
        connection.connect()
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", "/api/doctor", headers=headers)
        answer = connection.getresponse()
        body = answer.read(_LONGEST)
        took = time.perf_counter() - began
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body, took
    finally:
        connection.close()


async def _open(url: str, token: str | None, trusted: tls.SSLContext | None) -> Finding:
    name = "WebSocket"
    if not token:
        return skipped(name, "needs a token")
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(WITHIN):
            opened = await websocket.connect(websocket.endpoint(url), token=token, ssl=trusted)
    except (PlaitError, TransportClosed, OSError, TimeoutError, ValueError) as error:
        why = getattr(error, "detail", "") or str(error) or "no answer"
        return failed(
            name,
            f"not opened: {why}",
            advice="where the token is taken, a proxy between lets no WebSocket through: have it pass on "
            "Upgrade, or go around it",
        )
    took = loop.time() - began
    opened.close()
    return passed(name, f"opened in {ms(took)}", figures={"openMs": round(took * 1000, 2)})
